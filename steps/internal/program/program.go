// Package program runs the programs that a recipe names: a source of documents, a rule that gives points. Such a program
// often has children of its own (`go run`, shells), and none of them may outlive the step: they are killed together when
// the step's context ends, and also when the step's own process is killed.
//
// What a program reads and prints is the business of its caller. Start at [New].
package program

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// A Program is a command in a process group of its own. Of its methods, Start, Wait and Run are other than those of
// exec.Cmd.
type Program struct {
	*exec.Cmd
	release func()
}

// waitDelay is how long a program that was killed may keep its pipes open.
const waitDelay = 5 * time.Second

// New returns a program that runs in dir, without a shell, until it ends or ctx does.
func New(ctx context.Context, dir string, command []string) *Program {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = waitDelay
	ownGroup(cmd)
	return &Program{Cmd: cmd}
}

// Start starts it, and what watches over it.
func (p *Program) Start() error {
	if err := p.Cmd.Start(); err != nil {
		return err
	}
	release, err := guard(p.Process.Pid)
	if err != nil {
		return errors.Join(err, p.Cancel(), p.Cmd.Wait())
	}
	p.release = release
	return nil
}

// Wait waits for the end of a program that was started.
func (p *Program) Wait() error {
	err := p.Cmd.Wait()
	p.release()
	return err
}

// Run is Start and Wait.
func (p *Program) Run() error {
	if err := p.Start(); err != nil {
		return err
	}
	return p.Wait()
}
