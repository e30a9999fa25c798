package exec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"athanor/steps"
)

func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("no such thing"), false},
		{fmt.Errorf("saving: %w", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), true},
		{fmt.Errorf("saving: %w", syscall.EDQUOT), true},
		{errors.New("write /x: no space left on device"), true},
		{errors.New("writing to the journal: database or disk is full (13)"), true},
	} {
		if got := DiskFull(c.err); got != c.want {
			t.Errorf("DiskFull(%v) = %v", c.err, got)
		}
	}
	dir := t.TempDir()
	if text := RoomAdvice(filepath.Join(dir, "not", "there")); !strings.HasPrefix(text, "The file system of "+dir+" has ") {
		t.Errorf("the room in a folder that is still to be made: %s", text)
	}
}

// TestListen holds what a worker's output may be: events, and whatever a library prints between them.
func TestListen(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name, out string
		end       steps.EventKind
		events    int
		log       string
	}{
		{"nothing", "", "", 0, ""},
		{"progress only", `{"kind":"progress","done":1}` + "\n", "", 1, ""},
		{"an end", `{"kind":"progress"}` + "\n" + `{"kind":"done","values":{"a":1}}` + "\n", steps.EventDone, 1, ""},
		{"an end without a line end", `{"kind":"gate","message":"no"}`, steps.EventGate, 0, "gate: no\n"},
		{"the last end counts", `{"kind":"stopped"}` + "\n" + `{"kind":"failed","message":"why"}` + "\n", steps.EventFailed, 0, "failed: why\n"},
		{"noise", "hello\n{}\n[1]\n" + `{"kind":"done"}` + "\n", steps.EventDone, 0, "hello\n{}\n[1]\n"},
		{"half an event", `{"kind":"do`, "", 0, `{"kind":"do`},
		{"a long line", long + "\n" + `{"kind":"log","message":"m"}` + "\n", "", 1, long + "\n"},
	} {
		events := 0
		w := &worker{event: func(steps.Event) { events++ }}
		var log bytes.Buffer
		end := w.listen(strings.NewReader(c.out), &log)
		if end.Kind != c.end || events != c.events {
			t.Errorf("%s: ended %q after %d events, want %q after %d", c.name, end.Kind, events, c.end, c.events)
		}
		if !strings.Contains(log.String(), c.log) || c.log == "" && log.Len() > 0 {
			t.Errorf("%s: the log is %.100q", c.name, log.String())
		}
	}
}

func TestPanicLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.txt")
	const earlier = "panic: of an earlier attempt\n"
	if err := os.WriteFile(path, []byte(earlier+"some text\n\tpanic of sorts\nfatal error: out of memory\npanic: second\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := panicLine(path, int64(len(earlier))); got != "fatal error: out of memory" {
		t.Errorf("%q", got)
	}
	if got := panicLine(path+"x", 0); got != "" {
		t.Errorf("%q from a log that is not there", got)
	}
}
