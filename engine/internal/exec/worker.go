package exec

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"athanor/steps"
)

// grace is how long a worker that has used up its time may take to save a checkpoint.
const grace = time.Minute

// worker is one child process.
type worker struct {
	command []string
	image   string          // executed in place of the first of command, unless empty
	lock    *os.File        // inherited, so that the key stays locked until both processes have ended
	kill    context.Context // its end kills the worker
	event   func(steps.Event)
}

// timeoutError says that a step has used up its time.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("timed out after %v", e.after) }

// crashError says that a worker ended without a word.
type crashError struct {
	signal syscall.Signal // 0 if it exited by itself
	code   int
	peak   int64  // bytes of memory
	panic  string // the runtime's first line about it, if any
}

func (e *crashError) Error() string {
	switch {
	case e.panic != "":
		return "the worker crashed: " + e.panic
	case e.signal != 0:
		return fmt.Sprintf("the worker was killed (signal %d, %v)", e.signal, e.signal)
	}
	return fmt.Sprintf("the worker exited with code %d and did not say why", e.code)
}

func (e *crashError) advice(address string) string {
	const resume = " The last checkpoint is kept: run again to go on from it."
	if e.signal == syscall.SIGKILL {
		return fmt.Sprintf("%v. Its memory had reached %.1f GiB. If nobody killed it, the machine ran out of memory: "+
			"make batches, the model or --parallel smaller.%s", e, float64(e.peak)/(1<<30), resume)
	}
	return fmt.Sprintf("%v. The details are in its log: engine logs '%s'.%s", e, address, resume)
}

// run starts the process, passes its events on, and returns the last one. When ctx ends, the worker is asked to stop.
func (w *worker) run(ctx context.Context, logPath string) (steps.Event, error) {
	log, err := os.OpenFile(logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return steps.Event{}, err
	}
	defer log.Close()
	start, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return steps.Event{}, err
	}
	cmd := exec.Command(w.command[0], w.command[1:]...)
	if w.image != "" {
		cmd.Path, cmd.Err = w.image, nil
	}
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{w.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return steps.Event{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return steps.Event{}, err
	}
	if err := cmd.Start(); err != nil {
		return steps.Event{}, fmt.Errorf("starting a worker: %w", err)
	}
	ended := make(chan struct{})
	go w.watch(ctx, cmd.Process.Pid, stdin, ended)
	end := w.listen(stdout, log)
	err = cmd.Wait()
	close(ended)
	if late := (*timeoutError)(nil); errors.As(context.Cause(ctx), &late) && end.Kind != steps.EventDone {
		return end, late
	}
	if end.Kind == "" {
		return end, w.crash(cmd, logPath, start, err)
	}
	return end, nil
}

// watch asks the worker to stop when ctx ends, and kills it when that takes too long or the user insists.
func (w *worker) watch(ctx context.Context, pid int, stdin io.Closer, ended <-chan struct{}) {
	var patience <-chan time.Time
	stop := ctx.Done()
	for {
		select {
		case <-ended:
			_ = stdin.Close()
			return
		case <-stop:
			stop = nil
			_ = stdin.Close()
			if late := (*timeoutError)(nil); errors.As(context.Cause(ctx), &late) {
				patience = time.After(grace)
			}
			continue
		case <-patience:
		case <-w.kill.Done():
		}
		// The group holds what the worker has started as well. It may have ended by itself just now.
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-ended
		return
	}
}

// listen reads events until the worker closes its output, and returns the one that says how it ended.
func (w *worker) listen(stdout io.Reader, log io.Writer) steps.Event {
	var end steps.Event
	for r := bufio.NewReader(stdout); ; {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			var e steps.Event
			if json.Unmarshal(line, &e) != nil || e.Kind == "" {
				_, _ = log.Write(line) // not ours: a library has printed it
			} else {
				w.take(e, log, &end)
			}
		}
		if err != nil {
			return end
		}
	}
}

func (w *worker) take(e steps.Event, log io.Writer, end *steps.Event) {
	switch e.Kind {
	case steps.EventDone, steps.EventFailed, steps.EventGate, steps.EventStopped:
		*end = e
		if e.Message != "" {
			writeLog(log, e)
		}
		return
	case steps.EventLog, steps.EventWarn:
		writeLog(log, e)
	}
	w.event(e)
}

func writeLog(log io.Writer, e steps.Event) {
	level := ""
	switch e.Kind {
	case steps.EventWarn:
		level = "warning: "
	case steps.EventFailed, steps.EventGate:
		level = string(e.Kind) + ": "
	}
	// A log on a full disk is not worth failing for: what fills the disk will be told about it.
	_, _ = fmt.Fprintf(log, "%s %s%s\n", e.Time.Format("2006-01-02 15:04:05"), level, e.Message)
}

// crash describes a worker that ended without saying how.
func (w *worker) crash(cmd *exec.Cmd, logPath string, start int64, err error) error {
	e := &crashError{code: cmd.ProcessState.ExitCode(), panic: panicLine(logPath, start)}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.signal = status.Signal()
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		e.peak = maxRSS(usage)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return errors.Join(e, err)
	}
	return e
}

// panicLine finds what the Go runtime wrote in the log before the process died.
func panicLine(logPath string, start int64) string {
	f, err := os.Open(logPath)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, start, 1<<20))
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(text) {
		s := strings.TrimSpace(string(line))
		if strings.HasPrefix(s, "panic: ") || strings.HasPrefix(s, "fatal error: ") {
			return s
		}
	}
	return ""
}
