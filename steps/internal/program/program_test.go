//go:build unix

package program

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The test binary is also the process that is killed.
const role = "ATHANOR_TEST_PROGRAM"

// family prints its own id and that of a child, and both wait.
var family = []string{"sh", "-c", "sleep 600 & echo $$ $!; wait"}

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	p := New(context.Background(), "", family)
	p.Stdout = os.Stdout
	if err := p.Run(); err != nil {
		os.Exit(1)
	}
}

// TestKilledWithItsStep: when the process that runs a program is killed, the program and its children end.
func TestKilledWithItsStep(t *testing.T) {
	needPS(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), role+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	ids := strings.Fields(line)
	if err != nil || len(ids) != 2 {
		t.Fatalf("%q, %v", line, err)
	}
	for _, id := range ids {
		if !alive(id) {
			t.Fatalf("process %s has ended before anyone was killed", id)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for _, id := range ids {
		waitGone(t, id)
	}
}

// TestContext: when the context ends, the program's children end with it.
func TestContext(t *testing.T) {
	needPS(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := New(ctx, t.TempDir(), family)
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.Wait(); err == nil {
		t.Error("it ended well")
	}
	for _, id := range strings.Fields(line) {
		waitGone(t, id)
	}
}

// TestRun: a program runs to its end in its folder, one that is not there is an error, and no guard stays behind.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	p := New(t.Context(), dir, []string{"sh", "-c", "pwd -P; exit 3"})
	p.Stdout = &out
	exit := (*exec.ExitError)(nil)
	if err := p.Run(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(out.String(), dir) {
		t.Errorf("it ran in %q", out.String())
	}
	if err := New(t.Context(), dir, []string{"no-such-program"}).Run(); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func needPS(t *testing.T) {
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("the processes are looked for with ps: ", err)
	}
}

// alive asks for a process that is no zombie.
func alive(id string) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", id).Output()
	s := strings.TrimSpace(string(state))
	return err == nil && s != "" && !strings.HasPrefix(s, "Z")
}

// waitGone waits for a process to end.
func waitGone(t *testing.T, id string) {
	t.Helper()
	for range 600 {
		if !alive(id) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("process %s lives on", id)
}
