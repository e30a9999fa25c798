package dataset

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"athanor/steps"
	"athanor/steps/internal/program"
)

// program runs a program and reads its standard output as JSON lines.
func (r *reader) program(ctx context.Context, src *source, b *ProgramSource) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	cmd := program.New(running, r.spec.Dir, b.Command)
	cmd.Stderr = &src.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	at, name := src.at+".command", strings.Join(b.Command, " ")
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return steps.Blame(at, "there is no program %q on the PATH: install it, or give its path", b.Command[0])
		}
		return steps.Blame(at, "starting %q in %s: %w", b.Command[0], r.spec.Dir, err)
	}
	readErr := r.jsonLines(out, "", src)
	if readErr != nil {
		stop() // nobody reads its output any more
	}
	waitErr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(readErr, errEnough):
		return readErr
	case readErr != nil:
		return steps.Blame(at, "reading the output of %q: %w%s", name, readErr, src.stderr.quote())
	case waitErr != nil:
		return steps.Blame(at, "%q failed: %w%s", name, waitErr, src.stderr.quote())
	}
	return nil
}

// tailSize is how much of a program's standard error is kept.
const tailSize = 4 << 10

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
	lost bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if over := len(t.data) - tailSize; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
		t.lost = true
	}
	return len(p), nil
}

// quote is the text, ready to follow a message.
func (t *tail) quote() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.data), "\uFFFD"))
	if text == "" {
		return "; it wrote nothing to its standard error"
	}
	if t.lost {
		text = "… " + text
	}
	return fmt.Sprintf("; its standard error ends:\n%s", text)
}
