package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const killedPipeline = `
write "a" {
  text = "hello"
}
count "b" {
  to               = 400
  data             = write.a
  delay            = "2ms"
  checkpoint_every = 7
}
fill "c" {
  mib = 4
  depends_on = [count.b]
}
sweep "e" {
  data             = write.a
  to               = [60, 90]
  delay            = "2ms"
  checkpoint_every = 7
}
measure "d" {
  model      = count.b
  depends_on = [fill.c]
}
`

// TestKilledAnywhere kills the engine and the worker with SIGKILL at random instants, together and one before the
// other, and runs again. The artifacts must be those of an undisturbed run, byte for byte.
func TestKilledAnywhere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("workers are found through /proc")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.hcl"), []byte(killedPipeline), 0o666); err != nil {
		t.Fatal(err)
	}
	command(t, dir, "run", "--state", "whole")
	want := artifacts(t, dir, "whole")

	random := rand.New(rand.NewPCG(1, 2))
	kills, most := 0, 60
	for kills < most && killOnce(t, dir, random) {
		kills++
	}
	if kills < 5 { // the counting alone sleeps longer than that many runs may last
		t.Errorf("only %d runs were killed", kills)
	}
	command(t, dir, "run", "--state", "killed")
	if got := artifacts(t, dir, "killed"); got != want {
		t.Errorf("after %d kills the artifacts are\n%s\nnot\n%s", kills, got, want)
	}
	command(t, dir, "store", "verify", "--state", "killed")
}

// killOnce starts a run and kills it after a random time. It reports whether the run was still going on.
func killOnce(t *testing.T, dir string, random *rand.Rand) bool {
	t.Helper()
	cmd := exec.Command("engine", "run", "--state", "killed")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(random.IntN(130)) * time.Millisecond)
	victims := append(children(cmd.Process.Pid), cmd.Process.Pid)
	if random.IntN(2) == 0 { // the engine first
		victims[0], victims[len(victims)-1] = victims[len(victims)-1], victims[0]
	}
	if random.IntN(3) == 0 {
		victims = victims[:1] // the other has to notice by itself
	}
	for _, pid := range victims {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	// An engine that is killed did not end well, nor did one whose worker is killed: its step fails.
	err := cmd.Wait()
	t.Logf("%d of the run's processes killed: %v", len(victims), err)
	return err != nil
}

// TestReplacedMeanwhile builds another engine over the one that runs: the steps that are still to come are run by the
// engine that has planned them.
func TestReplacedMeanwhile(t *testing.T) {
	if image() == "" {
		t.Skip("this system cannot start a program that is no longer there")
	}
	dir := t.TempDir()
	path, err := exec.LookPath("engine")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"engine": program, "newer": []byte("#!/bin/sh\nexit 9\n"), "p.hcl": []byte(killedPipeline),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "engine"), "run", "--json")
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil { // the first step runs, others are still to come
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "newer"), filepath.Join(dir, "engine")); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, rest)
	}
}

// children lists the processes that pid has started.
func children(pid int) []int {
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

// command runs the engine, which must succeed, and returns its standard output.
func command(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("engine", args...)
	cmd.Dir = dir
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("engine %s: %v\n%s%s", strings.Join(args, " "), err, out.Bytes(), errOut.Bytes())
	}
	return out.Bytes()
}

// artifacts lists every artifact by its digest, and the values.
func artifacts(t *testing.T, dir, state string) string {
	t.Helper()
	var shown struct{ Steps []shownStep }
	if err := json.Unmarshal(command(t, dir, "show", "--json", "--state", state), &shown); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range shown.Steps {
		fmt.Fprintln(&b, s.Address, s.State, s.Values)
		for _, name := range sortedNames(s.Artifacts) {
			fmt.Fprintln(&b, " ", name, s.Artifacts[name].Digest)
		}
	}
	return b.String()
}
