package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// udpSize is the largest datagram sent and asked for: one that no path has to cut in pieces.
const udpSize = 1232

var (
	errNoMatch = errors.New("the answer is to another question")
	errTooLong = errors.New("the message is too long")
)

// exchange asks one server one question. A datagram that was cut off is asked for again over TCP; if that does not work
// it is still better than nothing.
func exchange(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, error) {
	m := q.message()
	answer, err := overUDP(ctx, server, m)
	if err == nil && m.IsEdns0() != nil && (answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented) && answer.IsEdns0() == nil {
		m.Extra = nil // an old one that does not know what follows the question
		answer, err = overUDP(ctx, server, m)
	}
	if err != nil || !answer.Truncated {
		return answer, err
	}
	if whole, err := overTCP(ctx, server, m); err == nil {
		return whole, nil
	}
	return answer, nil
}

// overUDP sends a question from a port and with a number that nobody can guess, and waits for the answer from there.
// Whatever else arrives is passed over: it does not end the waiting.
func overUDP(ctx context.Context, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	conn, stop, err := dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer stop()
	m.Id = dns.Id()
	wire, err := m.Pack()
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, wordOf(ctx, err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, wordOf(ctx, err)
		}
		if answer, err := parse(buf[:n], m); err == nil {
			return answer, nil
		}
	}
}

func overTCP(ctx context.Context, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	conn, stop, err := dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer stop()
	m.Id = dns.Id()
	wire, err := m.Pack()
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(framed(wire)); err != nil {
		return nil, wordOf(ctx, err)
	}
	buf, err := readFrame(conn, dns.MaxMsgSize)
	if err != nil {
		return nil, wordOf(ctx, err)
	}
	return parse(buf, m)
}

// dial connects to a server, until stop or the context's end, which ends what goes on on the connection.
func dial(ctx context.Context, network string, server netip.AddrPort) (conn net.Conn, stop func(), err error) {
	var d net.Dialer
	conn, err = d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, nil, err
	}
	forget := context.AfterFunc(ctx, func() { conn.Close() })
	return conn, func() { forget(); conn.Close() }, nil
}

// wordOf is the context's own word if that is why something failed.
func wordOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// parse reads an answer to what was asked.
func parse(wire []byte, asked *dns.Msg) (*dns.Msg, error) {
	if len(wire) < 12 || binary.BigEndian.Uint16(wire) != asked.Id {
		return nil, errNoMatch
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(wire); err != nil {
		if !answer.Truncated || len(answer.Question) == 0 {
			return nil, fmt.Errorf("an answer that cannot be read: %w", err)
		}
		answer.Answer, answer.Ns, answer.Extra = nil, nil, nil // cut off in the middle of a record
	}
	if !answer.Response || answer.Opcode != dns.OpcodeQuery {
		return nil, errNoMatch
	}
	// Some servers leave the question out when they say that they cannot read it.
	if len(answer.Question) == 0 && answer.Rcode == dns.RcodeFormatError {
		return answer, nil
	}
	q := asked.Question[0]
	if len(answer.Question) != 1 || answer.Question[0].Qtype != q.Qtype || answer.Question[0].Qclass != q.Qclass ||
		!strings.EqualFold(answer.Question[0].Name, q.Name) {
		return nil, errNoMatch
	}
	return answer, nil
}

// framed puts a message's length before it, as it goes over TCP.
func framed(wire []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(wire)), uint16(len(wire))), wire...)
}

// readFrame reads one message, of at most so many bytes, with its length before it.
func readFrame(r io.Reader, most int) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > most {
		return nil, errTooLong
	}
	buf := make([]byte, n)
	_, err := io.ReadFull(r, buf)
	return buf, err
}
