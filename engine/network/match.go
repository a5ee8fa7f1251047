package network

import (
	"encoding/binary"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A rule is a line of the kernel's: loads into registers, comparisons that end it if they fail, and a verdict.
type rule []expr.Any

// rules joins parts of a rule.
func on(parts ...rule) rule {
	var r rule
	for _, p := range parts {
		r = append(r, p...)
	}
	return r
}

// field is what can be loaded of a packet; it takes as many registers of four bytes.
type field struct {
	registers uint32
	load      func(register uint32) expr.Any
}

// firstRegister is that of the kernel's 16 registers of four bytes each that everything begins in.
const firstRegister = unix.NFT_REG32_00

func meta(key expr.MetaKey, registers uint32) field {
	return field{registers, func(r uint32) expr.Any { return &expr.Meta{Key: key, Register: r} }}
}

func payload(base expr.PayloadBase, offset, length uint32) field {
	return field{(length + 3) / 4, func(r uint32) expr.Any {
		return &expr.Payload{DestRegister: r, Base: base, Offset: offset, Len: length}
	}}
}

func ct(key expr.CtKey) field {
	return field{1, func(r uint32) expr.Any { return &expr.Ct{Key: key, Register: r} }}
}

// The kernel's numbers of what the library has no names for.
const (
	metaInKind  expr.MetaKey = 26 // NFT_META_IIFKIND, since Linux 5.6
	metaOutKind expr.MetaKey = 27 // NFT_META_OIFKIND
)

var (
	inName   = meta(expr.MetaKeyIIFNAME, 4)
	outName  = meta(expr.MetaKeyOIFNAME, 4)
	family   = meta(expr.MetaKeyNFPROTO, 1)
	protocol = meta(expr.MetaKeyL4PROTO, 1)

	etherFrom = payload(expr.PayloadBaseLLHeader, 6, 6)
	etherType = payload(expr.PayloadBaseLLHeader, 12, 2)

	arpHead  = payload(expr.PayloadBaseNetworkHeader, 0, 6) // of which hardware with which addresses it speaks
	arpEther = payload(expr.PayloadBaseNetworkHeader, 8, 6)
	arpFrom  = payload(expr.PayloadBaseNetworkHeader, 14, 4)

	from4 = payload(expr.PayloadBaseNetworkHeader, 12, 4)
	to4   = payload(expr.PayloadBaseNetworkHeader, 16, 4)
	from6 = payload(expr.PayloadBaseNetworkHeader, 8, 16)
	to6   = payload(expr.PayloadBaseNetworkHeader, 24, 16)

	toPort    = payload(expr.PayloadBaseTransportHeader, 2, 2)
	icmpType  = payload(expr.PayloadBaseTransportHeader, 0, 1)
	neighbour = payload(expr.PayloadBaseTransportHeader, 8, 16) // whom a neighbour advertisement is about

	state  = ct(expr.CtKeySTATE)
	status = ct(expr.CtKeySTATUS)
)

// load puts fields into registers, one after the other.
func load(fields []field) rule {
	var r rule
	at := uint32(firstRegister)
	for _, f := range fields {
		r = append(r, f.load(at))
		at += f.registers
	}
	return r
}

// in goes on if the fields together are an element of a set.
func in(set setID, fields ...field) rule {
	return append(load(fields), &expr.Lookup{SourceRegister: firstRegister, SetName: sets[set].name, SetID: uint32(set) + 1})
}

func notIn(set setID, fields ...field) rule {
	r := in(set, fields...)
	r[len(r)-1].(*expr.Lookup).Invert = true
	return r
}

func is(f field, value ...byte) rule { return compare(f, expr.CmpOpEq, value) }

func isNot(f field, value ...byte) rule { return compare(f, expr.CmpOpNeq, value) }

func compare(f field, op expr.CmpOp, value []byte) rule {
	return append(load([]field{f}), &expr.Cmp{Op: op, Register: firstRegister, Data: value})
}

// any goes on if one of the bits, of a number of the machine's order, is set.
func anyOf(f field, bits uint32) rule {
	return append(load([]field{f}),
		&expr.Bitwise{SourceRegister: firstRegister, DestRegister: firstRegister, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: firstRegister, Data: make([]byte, 4)})
}

// loopback4 goes on if an address is in 127.0.0.0/8.
func loopback4(f field) rule {
	return append(load([]field{f}),
		&expr.Bitwise{SourceRegister: firstRegister, DestRegister: firstRegister, Len: 4, Mask: []byte{255, 0, 0, 0}, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: firstRegister, Data: []byte{127, 0, 0, 0}})
}

func isLoopback6() rule { return is(to6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) }

// toHost goes on if the packet is for an address of this host.
func toHost() rule {
	return rule{
		&expr.Fib{Register: firstRegister, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: firstRegister, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

func verdict(kind expr.VerdictKind, chain ...string) rule {
	v := &expr.Verdict{Kind: kind}
	if len(chain) > 0 {
		v.Chain = chain[0]
	}
	return rule{v}
}

var (
	drop   = verdict(expr.VerdictDrop)
	accept = verdict(expr.VerdictAccept)
	back   = verdict(expr.VerdictReturn)
)

func call(chain string) rule { return verdict(expr.VerdictJump, chain) }

func v4() rule { return is(family, unix.NFPROTO_IPV4) }

func v6() rule { return is(family, unix.NFPROTO_IPV6) }

// leadTo sends a packet to the address and port that a map has for the fields together.
func leadTo(set setID, nfproto uint32, fields ...field) rule {
	r := append(load(fields), &expr.Lookup{
		SourceRegister: firstRegister, DestRegister: firstRegister, IsDestRegSet: true, SetName: sets[set].name, SetID: uint32(set) + 1,
	})
	port := uint32(firstRegister + 1)
	if nfproto == unix.NFPROTO_IPV6 {
		port = firstRegister + 4
	}
	return append(r, &expr.NAT{Type: expr.NATTypeDestNAT, Family: nfproto, RegAddrMin: firstRegister, RegProtoMin: port})
}

// portTo sends a packet to another port of the same address, which a map has for its own.
func portTo(set setID, nfproto uint32) rule {
	r := append(load([]field{toPort}), &expr.Lookup{
		SourceRegister: firstRegister, DestRegister: firstRegister, IsDestRegSet: true, SetName: sets[set].name, SetID: uint32(set) + 1,
	})
	return append(r, &expr.NAT{Type: expr.NATTypeDestNAT, Family: nfproto, RegProtoMin: firstRegister, Specified: true})
}

func masquerade() rule { return rule{&expr.Masq{}} }

// bytes16 is a name or a kind as registers have it.
func bytes16(name string) []byte {
	b := make([]byte, 16)
	copy(b, name)
	return b
}

func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

func padded(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// key is several values as a set of their concatenation has them.
func key(values ...[]byte) string {
	var k []byte
	for _, v := range values {
		k = append(k, padded(append([]byte(nil), v...))...)
	}
	return string(k)
}
