package wire

// The kinds of frame. Requests, signals and ends of input go from helper to daemon, the others the other way.
const (
	KindRequest byte = 'R'
	KindSignal  byte = 'S'
	KindEnded   byte = 'E'
	KindPrint   byte = 'P'
	KindMeter   byte = 'M'
	KindAnswer  byte = 'A'
	KindSegment byte = 'L' // before the answer: an earlier segment of the log that is to be printed, its two files
)

// Option is what a flag gave: Name is the name of a setting of containers ("env", "tty") or of one of the verb's own
// options ("detach", "name", "pull", "quiet"). A switch has the value "true" or "false".
type Option struct{ Name, Value string }

// Terminal is the caller's terminal.
type Terminal struct {
	Rows, Cols uint16
	Term       string // TERM
}

// Request is what the helper asks for. With it go the descriptors of which Stdio says that they are sent, in order.
type Request struct {
	Token   string
	Args    []string // after the flags, if the verb has any
	Env     []string // the part of the caller's environment that the verb needs
	Options []Option
	// Stdio tells of which of its descriptors 0, 1 and 2 the helper sends one that is to be used as it is.
	Stdio    [3]bool
	Terminal *Terminal // nil if the session is to have no terminal
}

// Encode gives the frame's body.
func (r *Request) Encode() []byte {
	var e encoder
	e.string(r.Token)
	e.strings(r.Args)
	e.strings(r.Env)
	e.strings(flatten(r.Options))
	var sent int64
	for i, s := range r.Stdio {
		if s {
			sent |= 1 << i
		}
	}
	e.number(sent)
	if r.Terminal != nil {
		e.number(int64(r.Terminal.Rows))
		e.number(int64(r.Terminal.Cols))
		e.string(r.Terminal.Term)
	}
	return e.b
}

// DecodeRequest reads what Encode wrote.
func DecodeRequest(b []byte) (*Request, error) {
	d := decoder{b: b}
	r := &Request{Token: d.string(), Args: d.strings(), Env: d.strings()}
	flat := d.strings()
	if len(flat)%2 != 0 {
		return nil, ErrMalformed
	}
	for i := 0; i < len(flat); i += 2 {
		r.Options = append(r.Options, Option{flat[i], flat[i+1]})
	}
	sent := d.number()
	for i := range r.Stdio {
		r.Stdio[i] = sent&(1<<i) != 0
	}
	if len(d.b) > 0 && !d.bad {
		r.Terminal = &Terminal{Rows: uint16(d.number()), Cols: uint16(d.number()), Term: d.string()}
	}
	return r, d.end()
}

func flatten(options []Option) []string {
	var l []string
	for _, o := range options {
		l = append(l, o.Name, o.Value)
	}
	return l
}

// Count is how many descriptors come with the request.
func (r *Request) Count() int {
	n := 0
	for _, s := range r.Stdio {
		if s {
			n++
		}
	}
	return n
}

// Role says what a descriptor that comes with an answer is for.
type Role byte

// The roles of an answer's descriptors.
const (
	RoleStatus Role = 's' // the exit comes here, as messages of engine/monitor's Status
	RolePty    Role = 'p' // the master of a session's terminal
	RoleStdin  Role = 'i' // what is read of the caller's input, or typed, goes here
	RoleLog    Role = 'l' // the log to follow and print, or its last segment
	RoleIndex  Role = 'x' // its index
	RolePidfd  Role = 'd' // the process, for signals when no daemon is there to send them
)

// Answer is what the daemon answers. With it go descriptors, one for each of Roles. Without a status among them the
// call is over, and Code is its exit status.
type Answer struct {
	Text     string // for the standard output
	Sentence string // for the standard error, without "hull: "
	Code     int
	Roles    []Role
	From     int64 // where to begin, in the log's segments of which the last comes with the answer
	Segment  int64 // the number of that one
	// Detach are the keys that end the helper and nothing else; empty if none do.
	Detach string
	// Signals has the helper hand on the signals it gets.
	Signals bool
	// Terminal is whether the command has a terminal whose master the helper does not get: what is typed goes to
	// RoleStdin, and the sizes of the caller's terminal to RoleStatus.
	Terminal bool
	// Stamps has each line of the log begin with its time.
	Stamps bool
}

// Encode gives the frame's body.
func (a *Answer) Encode() []byte {
	var e encoder
	e.string(a.Text)
	e.string(a.Sentence)
	e.number(int64(a.Code))
	roles := make([]byte, len(a.Roles))
	for i, r := range a.Roles {
		roles[i] = byte(r)
	}
	e.string(string(roles))
	e.number(a.From)
	e.number(a.Segment)
	e.string(a.Detach)
	var flags int64
	for i, on := range []bool{a.Signals, a.Terminal, a.Stamps} {
		if on {
			flags |= 1 << i
		}
	}
	e.number(flags)
	return e.b
}

// DecodeAnswer reads what Encode wrote.
func DecodeAnswer(b []byte) (*Answer, error) {
	d := decoder{b: b}
	a := &Answer{Text: d.string(), Sentence: d.string(), Code: int(d.number())}
	for _, r := range []byte(d.string()) {
		a.Roles = append(a.Roles, Role(r))
	}
	a.From, a.Segment = d.number(), d.number()
	a.Detach = d.string()
	flags := d.number()
	a.Signals, a.Terminal, a.Stamps = flags&1 != 0, flags&2 != 0, flags&4 != 0
	return a, d.end()
}

// Meter is how far something has come, for a line on a terminal.
type Meter struct{ Done, Total int64 }

// Encode gives the frame's body.
func (m Meter) Encode() []byte {
	var e encoder
	e.number(m.Done)
	e.number(m.Total)
	return e.b
}

// DecodeMeter reads what Encode wrote.
func DecodeMeter(b []byte) (Meter, error) {
	d := decoder{b: b}
	m := Meter{Done: d.number(), Total: d.number()}
	return m, d.end()
}

// EncodeSegment gives the body of a segment's frame.
func EncodeSegment(number int64) []byte {
	var e encoder
	e.number(number)
	return e.b
}

// DecodeSegment reads what EncodeSegment wrote.
func DecodeSegment(b []byte) (int64, error) {
	d := decoder{b: b}
	n := d.number()
	return n, d.end()
}

// EncodeSignal gives the body of a signal's frame.
func EncodeSignal(n int) []byte {
	var e encoder
	e.number(int64(n))
	return e.b
}

// DecodeSignal reads what EncodeSignal wrote: a signal's number, 1 to 64.
func DecodeSignal(b []byte) (int, error) {
	d := decoder{b: b}
	n := d.number()
	if err := d.end(); err != nil {
		return 0, err
	}
	if n < 1 || n > 64 {
		return 0, ErrMalformed
	}
	return int(n), nil
}
