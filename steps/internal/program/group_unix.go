//go:build unix

package program

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// ownGroup gives the program a process group of its own, which is killed whole when the context ends.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// guard kills a process group when this process is gone, however it went: a shell waits for the end of a pipe whose other
// end this process alone holds. (Linux could signal a child when its parent dies, but not the child's children.) release
// takes the guard off.
func guard(group int) (release func(), err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	shell := exec.Command("/bin/sh", "-c", `read _; kill -s KILL -- "-$0"`, strconv.Itoa(group))
	shell.Stdin = read
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // not killed with the group of this process
	err = shell.Start()
	_ = read.Close() // the shell has its own
	if err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("watching over a program: %w", err)
	}
	return func() {
		_ = shell.Process.Kill() // before it sees that the pipe has ended
		_ = shell.Wait()
		_ = write.Close()
	}, nil
}
