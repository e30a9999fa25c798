package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"athanor/engine/internal/store"
	"athanor/steps"
	"athanor/steps/catalog"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"engine": func() {
			os.Exit(newApp(slices.Concat(testTypes, compositeTypes, catalog.Types)).run(os.Args[1:]))
		},
	})
}

// TestScripts runs testdata/script/*.txtar through the real command, worker processes included. `make golden`
// refreshes what the scripts compare with.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("ATHANOR_GOLDEN") == "update",
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			if race := os.Getenv("GORACE"); race != "" { // under the race detector every process sleeps for a second at its end, unless told not to
				env.Setenv("GORACE", race)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "edit": edit, "flip": flip, "waitfor": waitFor,
			"start": startCommand, "signal": signalCommand, "finish": finishCommand, "tmpfs": tmpfs, "bytes": fillFile, "digests": digests,
		},
	})
}

// patience is how long a script waits for what must come. Nothing depends on how long it takes.
const patience = 60 * time.Second

// exits CODE COMMAND…: the command must end with the exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	checkExit(ts, want, ts.Exec(args[1], args[2:]...))
}

func checkExit(ts *testscript.TestScript, want int, err error) {
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// edit FILE OLD NEW: replaces the one place where OLD stands.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if n := strings.Count(text, args[1]); n != 1 {
		ts.Fatalf("%q stands %d times in %s", args[1], n, args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o666))
}

// flip [-rot] PATTERN: flips a bit in the file. With -rot its modification time stays, as when a disk decays.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	rot := args[0] == "-rot"
	if rot {
		args = args[1:]
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("no file matches %s", args[0])
	}
	path := found[0]
	info, err := os.Stat(path)
	ts.Check(err)
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.Chmod(path, 0o644))
	ts.Check(os.WriteFile(path, data, 0o644))
	if rot {
		ts.Check(os.Chtimes(path, info.ModTime(), info.ModTime()))
	}
}

// waitfor PATTERN: waits until a file matches.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if found, _ := filepath.Glob(ts.MkAbs(args[0])); len(found) > 0 {
			return
		}
	}
	ts.Fatalf("nothing has come to match %s", args[0])
}

// digests STATE FILE: writes what every action in a store made, one line each: type, version, outputs.
func digests(ts *testscript.TestScript, _ bool, args []string) {
	s, err := store.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer s.Close()
	actions, err := s.List()
	ts.Check(err)
	var out strings.Builder
	for _, a := range actions {
		fmt.Fprintf(&out, "%s %d", a.Type, a.Version)
		for _, name := range slices.Sorted(maps.Keys(a.Outputs)) {
			fmt.Fprintf(&out, " %s=%s", name, a.Outputs[name].Digest[:16])
		}
		fmt.Fprintln(&out)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o666))
}

type background struct {
	cmd         *exec.Cmd
	out, errOut bytes.Buffer
}

var commands = map[string]*background{} // by script and name; scripts run side by side
var commandsMu = make(chan struct{}, 1)

func named(ts *testscript.TestScript, name string, set *background) *background {
	commandsMu <- struct{}{}
	defer func() { <-commandsMu }()
	key := ts.Name() + "/" + name
	if set != nil {
		commands[key] = set
	}
	return commands[key]
}

// start NAME COMMAND…: starts a command in the background.
func startCommand(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	b := &background{cmd: exec.Command(path, args[2:]...)}
	b.cmd.Dir = ts.MkAbs(".")
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.errOut
	ts.Check(b.cmd.Start())
	named(ts, args[0], b)
	ts.Defer(func() { _ = b.cmd.Process.Kill() })
}

// signal NAME INT|KILL|TERM: sends a signal to a command that start has started.
func signalCommand(ts *testscript.TestScript, _ bool, args []string) {
	sig := map[string]syscall.Signal{"INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM}[args[1]]
	ts.Check(named(ts, args[0], nil).cmd.Process.Signal(sig))
}

// finish NAME CODE: waits for a command, whose exit code must be CODE (-1: killed), and takes its output.
func finishCommand(ts *testscript.TestScript, _ bool, args []string) {
	b := named(ts, args[0], nil)
	err := b.cmd.Wait()
	_, _ = ts.Stdout().Write(b.out.Bytes())
	_, _ = ts.Stderr().Write(b.errOut.Bytes())
	want, e := strconv.Atoi(args[1])
	ts.Check(e)
	checkExit(ts, want, err)
}

// tmpfs FOLDER MIB: mounts a small disk.
func tmpfs(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o777))
	ts.Check(mountTmpfs(dir, fmt.Sprintf("size=%sm", args[1])))
	ts.Defer(func() { unmount(dir) })
}

// bytes FILE MIB: writes a file of that size, or as much of it as the disk takes.
func fillFile(ts *testscript.TestScript, _ bool, args []string) {
	mib, err := strconv.Atoi(args[1])
	ts.Check(err)
	if err := fill(ts.MkAbs(args[0]), mib); err != nil && !errors.Is(err, syscall.ENOSPC) {
		ts.Fatalf("%v", err)
	}
}

// condition knows [tmpfs], whether this machine lets a test mount a small disk, and [cuda], whether this build opens a GPU.
func condition(name string) (bool, error) {
	switch name {
	case "tmpfs":
	case "cuda":
		d, err := steps.OpenDevice("cuda", 0)
		if err != nil {
			return false, nil
		}
		return true, d.Close()
	default:
		return false, fmt.Errorf("unknown condition %q", name)
	}
	dir, err := os.MkdirTemp("", "tmpfs")
	if err != nil {
		return false, err
	}
	defer os.Remove(dir)
	if mountTmpfs(dir, "size=1m") != nil {
		return false, nil
	}
	unmount(dir)
	return true, nil
}
