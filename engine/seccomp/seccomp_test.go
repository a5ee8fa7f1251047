package seccomp

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hull/engine/plan"
)

// defaults is the mask of a container's default capabilities.
func defaults(t testing.TB) uint64 {
	t.Helper()
	m, err := plan.CapabilityMask(plan.DefaultCapabilities())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// evaluate runs a filter as the kernel does, and counts its steps.
func evaluate(t testing.TB, filter []byte, arch, number uint32, args ...uint64) (result uint32, steps int) {
	t.Helper()
	var data [64]byte
	binary.LittleEndian.PutUint32(data[0:], number)
	binary.LittleEndian.PutUint32(data[4:], arch)
	for i, a := range args {
		binary.LittleEndian.PutUint64(data[16+8*i:], a)
	}
	acc := uint32(0)
	for pc := 0; pc < len(filter)/8; steps++ {
		i := filter[8*pc:]
		code, jt, jf, k := binary.LittleEndian.Uint16(i), int(i[2]), int(i[3]), binary.LittleEndian.Uint32(i[4:])
		pc++
		holds := false
		switch code {
		case opLoad:
			acc = binary.LittleEndian.Uint32(data[k:])
			continue
		case opAnd:
			acc &= k
			continue
		case opReturn:
			return k, steps
		case opJump:
			pc += int(k)
			continue
		case jumpEqual:
			holds = acc == k
		case jumpGreater:
			holds = acc > k
		case jumpGreaterEqual:
			holds = acc >= k
		default:
			t.Fatalf("an instruction %#x", code)
		}
		if holds {
			pc += jt
		} else {
			pc += jf
		}
	}
	t.Fatal("the filter has no end")
	return 0, 0
}

const (
	eperm  = refuse | uint32(unix.EPERM)
	enosys = refuse | uint32(unix.ENOSYS)
)

func TestDefault(t *testing.T) {
	f, err := Default().Filter(defaults(t))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Default().Filter(defaults(t)); &again[0] != &f[0] {
		t.Error("it is compiled twice")
	}
	t.Logf("%d instructions", len(f)/8)
	n := numbersAMD64()
	c := numbers386()
	for _, tt := range []struct {
		arch   uint32
		number uint32
		args   []uint64
		want   uint32
	}{
		{archAMD64, n["read"], nil, allow},
		{archAMD64, n["execve"], nil, allow},
		{archAMD64, n["openat2"], nil, allow},
		{archAMD64, n["close_range"], nil, allow},
		{archAMD64, n["clone"], []uint64{uint64(unix.SIGCHLD)}, allow},
		{archAMD64, n["clone"], []uint64{unix.CLONE_NEWUSER}, eperm},
		{archAMD64, n["clone"], []uint64{unix.CLONE_NEWNS | uint64(unix.SIGCHLD)}, eperm},
		{archAMD64, n["clone3"], nil, enosys},
		{archAMD64, n["unshare"], []uint64{unix.CLONE_NEWUSER}, eperm},
		{archAMD64, n["mount"], nil, eperm},
		{archAMD64, n["umount2"], nil, eperm},
		{archAMD64, n["move_mount"], nil, eperm},
		{archAMD64, n["setns"], nil, eperm},
		{archAMD64, n["bpf"], nil, eperm},
		{archAMD64, n["keyctl"], nil, eperm},
		{archAMD64, n["add_key"], nil, eperm},
		{archAMD64, n["kexec_load"], nil, eperm},
		{archAMD64, n["open_by_handle_at"], nil, eperm},
		{archAMD64, n["init_module"], nil, eperm},
		{archAMD64, n["reboot"], nil, eperm},
		{archAMD64, n["userfaultfd"], nil, eperm},
		{archAMD64, n["personality"], []uint64{0}, allow},
		{archAMD64, n["personality"], []uint64{0xffffffff}, allow},
		{archAMD64, n["personality"], []uint64{0x0040000}, eperm},
		{archAMD64, n["socket"], []uint64{unix.AF_INET}, allow},
		{archAMD64, n["socket"], []uint64{unix.AF_UNIX}, allow},
		{archAMD64, n["socket"], []uint64{unix.AF_NETLINK}, allow},
		{archAMD64, n["socket"], []uint64{unix.AF_VSOCK}, eperm},
		{archAMD64, n["socket"], []uint64{unix.AF_ALG}, eperm},
		{archAMD64, n["socket"], []uint64{1<<32 | unix.AF_INET}, eperm},
		{archAMD64, n["ioctl"], []uint64{0, unix.TIOCGWINSZ}, allow},
		{archAMD64, n["ioctl"], []uint64{0, unix.TIOCSTI}, eperm},
		{archAMD64, n["ioctl"], []uint64{0, 7<<32 | unix.TIOCSTI}, eperm},
		{archAMD64, n["ioctl"], []uint64{0, tioclinux}, eperm},
		{archAMD64, 400, nil, eperm},                     // nothing has that number
		{archAMD64, 2000, nil, enosys},                   // to come
		{archAMD64, 0x40000000 | n["read"], nil, enosys}, // x32
		{archAMD64, 0xffffffff, nil, enosys},
		{arch386, c["read"], nil, allow},
		{arch386, c["mount"], nil, eperm},
		{arch386, c["socketcall"], []uint64{1}, enosys}, // socket, of a family that is not to be seen
		{arch386, c["socketcall"], []uint64{3}, allow},  // connect
		{arch386, c["socket"], []uint64{unix.AF_INET}, allow},
		{arch386, c["socket"], []uint64{unix.AF_ALG}, eperm},
		{arch386, c["ioctl"], []uint64{0, unix.TIOCSTI}, eperm},
		{arch386, c["clone"], []uint64{unix.CLONE_NEWUSER}, eperm},
		{arch386, 2000, nil, enosys},
		{0xc00000b7, 0, nil, killProcess}, // aarch64
		{0, 0, nil, killProcess},
	} {
		got, _ := evaluate(t, f, tt.arch, tt.number, tt.args...)
		if got != tt.want {
			t.Errorf("architecture %#x, call %d (%s), arguments %#x: %#x, want %#x", tt.arch, tt.number, Name(tt.number), tt.args, got, tt.want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	n := numbersAMD64()
	for _, tt := range []struct {
		cap, call string
	}{{"SYS_ADMIN", "mount"}, {"SYS_ADMIN", "clone3"}, {"SYS_PTRACE", "process_vm_readv"}, {"SYS_TIME", "settimeofday"}, {"SYS_MODULE", "init_module"}, {"DAC_READ_SEARCH", "open_by_handle_at"}, {"SYSLOG", "syslog"}} {
		mask, err := plan.CapabilityMask([]string{tt.cap})
		if err != nil {
			t.Fatal(err)
		}
		f, err := Default().Filter(defaults(t) | mask)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := evaluate(t, f, archAMD64, n[tt.call]); got != allow {
			t.Errorf("with %s, %s gives %#x", tt.cap, tt.call, got)
		}
	}
}

// TestEveryRule compares the filter with the profile, call by call, for those
// that no argument decides.
func TestEveryRule(t *testing.T) {
	f, err := Default().Filter(defaults(t))
	if err != nil {
		t.Fatal(err)
	}
	profile, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: plan.DefaultCapabilities()}}, Linux: &specs.Linux{}})
	if err != nil {
		t.Fatal(err)
	}
	for arch, table := range map[uint32]map[string]uint32{archAMD64: numbersAMD64(), arch386: numbers386()} {
		seen := 0
		for name, number := range table {
			plainly, some := false, false
			for _, r := range profile.Syscalls {
				if slices.Contains(r.Names, name) && r.Action == specs.ActAllow {
					some = true
					plainly = plainly || len(r.Args) == 0
				}
			}
			got, steps := evaluate(t, f, arch, number)
			if steps > 40 {
				t.Errorf("%s takes %d steps", name, steps)
			}
			if plainly && got != allow || !some && got == allow {
				t.Errorf("%s on %#x gives %#x", name, arch, got)
			}
			seen++
		}
		if seen < 300 {
			t.Errorf("%d calls on %#x", seen, arch)
		}
	}
}

func TestComparisons(t *testing.T) {
	values := []uint64{0, 1, 2, 0xfffffffe, 0xffffffff, 1 << 32, 1<<32 + 1, 1<<32 + 2, 1<<33 - 1, ^uint64(0) - 1, ^uint64(0)}
	holds := map[specs.LinuxSeccompOperator]func(v, w uint64) bool{
		specs.OpEqualTo:      func(v, w uint64) bool { return v == w },
		specs.OpNotEqual:     func(v, w uint64) bool { return v != w },
		specs.OpLessThan:     func(v, w uint64) bool { return v < w },
		specs.OpLessEqual:    func(v, w uint64) bool { return v <= w },
		specs.OpGreaterThan:  func(v, w uint64) bool { return v > w },
		specs.OpGreaterEqual: func(v, w uint64) bool { return v >= w },
	}
	check := func(a specs.LinuxSeccompArg, v uint64, want bool) {
		t.Helper()
		// A second condition, always true, must not be skipped over.
		rules := []specs.LinuxSyscall{{Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{a, {Index: 0, Op: specs.OpEqualTo, Value: 5}}}}
		body, err := judge(rules, eperm)
		if err != nil {
			t.Fatal(err)
		}
		args := []uint64{5, 0, v}
		if got, _ := evaluate(t, encode(body), archAMD64, 0, args...); (got == allow) != want {
			t.Errorf("%#x %s %#x (%#x): %#x", v, a.Op, a.Value, a.ValueTwo, got)
		}
		args[0] = 6
		if got, _ := evaluate(t, encode(body), archAMD64, 0, args...); got == allow {
			t.Errorf("%#x %s %#x: the second condition is not looked at", v, a.Op, a.Value)
		}
	}
	for _, v := range values {
		for _, w := range values {
			for op, h := range holds {
				check(specs.LinuxSeccompArg{Index: 2, Op: op, Value: w}, v, h(v, w))
			}
			for _, mask := range values {
				check(specs.LinuxSeccompArg{Index: 2, Op: specs.OpMaskedEqual, Value: mask, ValueTwo: w & mask}, v, v&mask == w&mask)
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, r := range []specs.LinuxSyscall{
		{Action: "SCMP_ACT_NONSENSE"},
		{Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_NONSENSE"}}},
		{Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}},
	} {
		if _, err := judge([]specs.LinuxSyscall{r}, eperm); err == nil {
			t.Errorf("%+v is compiled", r)
		}
	}
}

// What the kernel checks of a filter before it takes it; the containers of
// package launch try the rest.
func TestWellFormed(t *testing.T) {
	f, err := Default().Filter(defaults(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(f)/8 > maxProgram {
		t.Errorf("%d instructions", len(f)/8)
	}
	for pc := 0; pc < len(f)/8; pc++ {
		i := f[8*pc:]
		code, far := binary.LittleEndian.Uint16(i), int(max(i[2], i[3]))
		if code == opJump {
			far = int(binary.LittleEndian.Uint32(i[4:]))
		}
		if code != opLoad && code != opAnd && code != opReturn && pc+1+far >= len(f)/8 {
			t.Errorf("instruction %d jumps out", pc)
		}
	}
}

// TestProfiles judges by profiles of a user's.
func TestProfiles(t *testing.T) {
	n, c := numbersAMD64(), numbers386()
	errno := func(e unix.Errno) uint32 { return refuse | uint32(e) }
	type call struct {
		arch, number uint32
		args         []uint64
		want         uint32
	}
	for name, tt := range map[string]struct {
		text  string
		calls []call
	}{
		"all but some": {`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}`, []call{
			{archAMD64, n["read"], nil, allow},
			{archAMD64, n["mkdir"], nil, errno(unix.ENOSPC)},
			{archAMD64, n["mkdirat"], nil, errno(unix.ENOSPC)},
			{archAMD64, 2000, nil, allow},
			{archAMD64, x32Bit | n["mkdir"], nil, enosys},
			{archAMD64, n["ioctl"], []uint64{0, unix.TIOCSTI}, eperm},
			{arch386, c["read"], nil, killProcess},
		}},
		"some, and 32 bits": {`{"defaultAction":"SCMP_ACT_KILL_PROCESS","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[
			{"name":"exit_group","action":"SCMP_ACT_ALLOW"},{"names":["read","exit","nosuchcall"],"action":"SCMP_ACT_LOG"}]}`, []call{
			{archAMD64, n["exit_group"], nil, allow},
			{archAMD64, n["read"], nil, logged},
			{archAMD64, n["write"], nil, killProcess},
			{archAMD64, 2000, nil, enosys},
			{arch386, c["exit"], nil, logged},
			{arch386, c["write"], nil, killProcess},
		}},
		"other fates": {`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[{"names":["read"],"action":"SCMP_ACT_TRAP"},
			{"names":["write"],"action":"SCMP_ACT_TRACE","errnoRet":7},{"names":["getpid"],"action":"SCMP_ACT_KILL"},{"names":["reboot"],"action":"SCMP_ACT_ALLOW"}]}`, []call{
			{archAMD64, n["read"], nil, trap},
			{archAMD64, n["write"], nil, trace | 7},
			{archAMD64, n["getpid"], nil, killThread},
			{archAMD64, n["mkdir"], nil, enosys},
		}},
		"the first rule": {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},
			{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":97},{"names":["socket"],"action":"SCMP_ACT_ALLOW"}]}`, []call{
			{archAMD64, n["socket"], []uint64{2}, allow},
			{archAMD64, n["socket"], []uint64{10}, errno(unix.EAFNOSUPPORT)},
		}},
		"two values of one argument": {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
			{"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}]}`, []call{
			{archAMD64, n["personality"], []uint64{0}, allow},
			{archAMD64, n["personality"], []uint64{8}, allow},
			{archAMD64, n["personality"], []uint64{1}, eperm},
		}},
		"by capability": {`{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[
			{"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},{"names":["chroot"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_CHOWN"]}},
			{"names":["reboot"],"action":"SCMP_ACT_ALLOW"}]}`, []call{
			{archAMD64, n["mount"], nil, eperm},
			{archAMD64, n["chroot"], nil, eperm},
			{arch386, c["reboot"], nil, allow},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := Parse(tt.text); again != p {
				t.Error("it is compiled anew for every container")
			}
			f, err := p.Filter(defaults(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range tt.calls {
				if got, _ := evaluate(t, f, k.arch, k.number, k.args...); got != k.want {
					t.Errorf("architecture %#x, call %d, arguments %#x: %#x, want %#x", k.arch, k.number, k.args, got, k.want)
				}
			}
		})
	}
}

// TestDockersOwnFile: the default profile as a file is the default profile.
func TestDockersOwnFile(t *testing.T) {
	profile := moby.DefaultProfile()
	profile.Syscalls = append([]*moby.Syscall{{LinuxSyscall: hiddenSocket()}}, profile.Syscalls...)
	text, err := json.Marshal(profile)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, caps := range []uint64{0, defaults(t), ^uint64(0)} {
		want, err := Default().Filter(caps)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Filter(caps); err != nil || !bytes.Equal(got, want) {
			t.Errorf("with the capabilities %#x it is another, %v", caps, err)
		}
	}
}

func TestBadProfiles(t *testing.T) {
	var huge strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&huge, `%s{"names":["ioctl"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":%d,"op":"SCMP_CMP_EQ"}]}`, strings.Repeat(",", min(i, 1)), i)
	}
	for name, text := range map[string]string{
		"no JSON":        "{",
		"two":            `{"defaultAction":"SCMP_ACT_ALLOW"} {}`,
		"nothing":        "{}",
		"no default":     `{"syscalls":[]}`,
		"a typing error": `{"defaultaction ":"SCMP_ACT_ALLOW"}`,
		"an action":      `{"defaultAction":"SCMP_ACT_NONSENSE"}`,
		"a rule's":       `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"ALLOW"}]}`,
		"a comparison":   `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"EQ"}]}]}`,
		"an argument":    `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}`,
		"an errno":       `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":70000}`,
		"a listener":     `{"defaultAction":"SCMP_ACT_NOTIFY"}`,
		"its path":       `{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/x"}`,
		"a flag":         `{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_NONSENSE"]}`,
		"both names":     `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"read","names":["write"],"action":"SCMP_ACT_ERRNO"}]}`,
		"an empty rule":  `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}, null]}`,
		"too many rules": `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[` + huge.String() + `]}`,
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%s is taken for a profile", name)
		}
	}
}

// FuzzProfiles: whatever is taken for a profile makes a filter that ends.
func FuzzProfiles(f *testing.F) {
	f.Add(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}`, uint64(3))
	f.Add(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[null]}`, uint64(0))
	f.Add(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"includes":{"minKernel":"4.8"},"names":["ptrace"],"action":"SCMP_ACT_KILL"}]}`, uint64(0))
	f.Fuzz(func(t *testing.T, text string, arg uint64) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		filter, err := p.Filter(0)
		if err != nil {
			t.Fatal(err)
		}
		for _, number := range []uint32{0, 16, 101, 435, 1 << 30, ^uint32(0)} {
			evaluate(t, filter, archAMD64, number, arg, arg)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := (&Profile{}).compile(defaults(b)); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleName() {
	fmt.Println(Name(59))
	// Output: execve
}
