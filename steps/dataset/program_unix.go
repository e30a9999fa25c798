//go:build unix

package dataset

import (
	"os/exec"
	"syscall"
)

// ownGroup gives the program a process group of its own, which is killed whole when the context ends.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
