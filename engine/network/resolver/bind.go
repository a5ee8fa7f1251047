package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// sockets are those of one address, for both ways of asking.
type sockets struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

func (s sockets) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
}

// bind listens on a port of an address, both ways; on any if it is 0.
func bind(ctx context.Context, addr netip.Addr, port uint16) (s sockets, _ uint16, err error) {
	config := net.ListenConfig{Control: early}
	config.SetMultipathTCP(false)
	udp, err := config.ListenPacket(ctx, "udp", netip.AddrPortFrom(addr, port).String())
	if err != nil {
		return sockets{}, 0, err
	}
	s.udp = udp.(*net.UDPConn)
	port = uint16(s.udp.LocalAddr().(*net.UDPAddr).Port)
	tcp, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
	if err != nil {
		s.udp.Close()
		return sockets{}, 0, err
	}
	s.tcp = tcp.(*net.TCPListener)
	return s, port, nil
}

// receiveRoom is how many bytes of questions may wait to be read, of all containers of a network.
const receiveRoom = 2 << 20

// early lets a socket have an address that is not there yet, or not any more: a bridge gets its own after it is made, an
// IPv6 one is no good before it has been found to be nobody else's, and the socket outlives a bridge that somebody deletes.
func early(network, _ string, c syscall.RawConn) error {
	var inner error
	err := c.Control(func(fd uintptr) {
		level, option := unix.SOL_IP, unix.IP_FREEBIND
		if network == "udp6" || network == "tcp6" {
			level, option = unix.SOL_IPV6, unix.IPV6_FREEBIND
		}
		inner = unix.SetsockoptInt(int(fd), level, option, 1)
		if strings.HasPrefix(network, "udp") {
			// Room for what a hundred containers ask that start at once. Without it they ask again.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveRoom)
		}
	})
	return errors.Join(err, inner)
}
