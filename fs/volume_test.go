package fs_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/fs"
)

func TestVolumes(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Group, o.ViewIdle = 4321, time.Millisecond })
	files := t.TempDir()
	m.Root("db", files)
	m.want("mkdir volumes/db && ls volumes volumes/db && readlink volumes/db/data",
		"volumes:\ndb\n\nvolumes/db:\ncreated\nctl\ndata\nerror\nsize\nused_by\n../../rootfs/volumes/db\n")
	m.want("cat volumes/db/size; stat -c %a:%u:%g volumes/db volumes/db/ctl volumes/db/size rootfs/volumes/db", "1000\n775:0:4321\n660:0:4321\n644:0:4321\n700:0:0\n")
	m.want("echo x > volumes/db/data/file && cat rootfs/volumes/db/file", "x\n")
	if _, err := os.Stat(filepath.Join(files, "file")); err != nil {
		t.Error(err)
	}
	m.Use("db", "web", "api")
	m.want("cat volumes/db/used_by", "web\napi\n")
	errno(t, "rmdir in use", unix.Rmdir(m.path("volumes/db")), syscall.EBUSY)
	errno(t, "unlink in use", unix.Unlink(m.path("volumes/db/size")), syscall.EBUSY)
	m.Use("db")
	errno(t, "rmdir with files", unix.Rmdir(m.path("volumes/db")), syscall.ENOTEMPTY)
	errno(t, "unlink with files", unix.Unlink(m.path("volumes/db/size")), syscall.ENOTEMPTY)
	errno(t, "mkdir again", unix.Mkdir(m.path("volumes/db"), 0o755), syscall.EEXIST)
	errno(t, "mkdir .Trash", unix.Mkdir(m.path("volumes/.Trash-0"), 0o755), syscall.EPERM)
	errno(t, "rename", unix.Rename(m.path("volumes/db"), m.path("volumes/other")), syscall.EPERM)
	errno(t, "rename elsewhere", unix.Rename(m.path("volumes/db"), m.path("containers/db")), syscall.EPERM)
	errno(t, "symlink", unix.Symlink("db", m.path("volumes/other")), syscall.EPERM)
	errno(t, "mkdir inside", unix.Mkdir(m.path("volumes/db/x"), 0o755), syscall.EPERM)
	errno(t, "a bad command", os.WriteFile(m.path("volumes/db/ctl"), []byte("burn\n"), 0), syscall.EINVAL)
	m.want("cat volumes/db/error", "volumes/db/ctl has no command \"burn\"; it knows remove.\n")
	m.want("rm volumes/db/data/file; rm -r volumes/db && ls volumes", "")
	m.want("mkdir volumes/db && echo y > volumes/db/data/file && echo remove > volumes/db/ctl && ls volumes; cat volumes/db/size 2>&1 || true", "cat: volumes/db/size: No such file or directory\n")
}
