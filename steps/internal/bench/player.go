package main

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
	"path/filepath"
	"strconv"
	"strings"
)

// A request is one line to a player. A job is prepared once and then run many times; a player holds one at a time.
type request struct {
	Do  string `json:"do"`  // "hello", "prepare" or "run"
	Job string `json:"job"` // prepare: which

	// prepare: a matrix product of N tokens, I inputs and O outputs
	Product string `json:"product,omitempty"` // "forward", "input" or "weight"
	N       int    `json:"n,omitempty"`
	I       int    `json:"i,omitempty"`
	O       int    `json:"o,omitempty"`

	// prepare: a model
	Model     string  `json:"model,omitempty"`     // folder
	Precision string  `json:"precision,omitempty"` // "float32" or "bfloat16"
	Compile   bool    `json:"compile,omitempty"`   // torch.compile
	Context   int     `json:"context,omitempty"`   // tokens of each segment
	IDs       []int32 `json:"ids,omitempty"`
	Targets   []int32 `json:"targets,omitempty"`
	Batch     int     `json:"batch,omitempty"`  // sequences to decode
	Tokens    int     `json:"tokens,omitempty"` // to decode of each

	// prepare: text
	Text      string `json:"text,omitempty"`      // file with one JSON string per line
	Tokenizer string `json:"tokenizer,omitempty"` // folder
	Vocab     int    `json:"vocab,omitempty"`

	// run
	Warm  int `json:"warm,omitempty"` // calls before the clock starts
	Calls int `json:"calls,omitempty"`
}

// A reply is one line back.
type reply struct {
	Versions   map[string]string `json:"versions,omitempty"`    // hello
	Check      []float64         `json:"check,omitempty"`       // prepare: figures that all players of a job agree on
	Seconds    float64           `json:"seconds,omitempty"`     // run: of all calls
	CPUSeconds float64           `json:"cpu_seconds,omitempty"` // run: of all calls, while the process was running
	Error      string            `json:"error,omitempty"`
}

// A player is a child process that runs jobs. One at a time does: the others wait for their next line.
type player struct {
	command *exec.Cmd
	stop    context.CancelFunc
	to      io.WriteCloser
	from    *bufio.Reader
	said    tail // on standard error
}

// startPlayer starts a child process with as many threads as each library can be told to use. What it keeps between
// calls goes to dir: what a killed run left in a shared cache has been seen to break a later one.
func startPlayer(ctx context.Context, dir string, threads int, name string, args ...string) (*player, error) {
	ctx, stop := context.WithCancel(ctx)
	p := &player{command: exec.CommandContext(ctx, name, args...), stop: stop}
	p.command.Env = os.Environ()
	for _, variable := range []string{
		"GOMAXPROCS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS",
		"ATHANOR_BENCH_THREADS",
	} {
		p.command.Env = append(p.command.Env, variable+"="+strconv.Itoa(threads))
	}
	// Compiling in the process itself leaves no pool of idle compilers beside what is measured.
	p.command.Env = append(p.command.Env, "TOKENIZERS_PARALLELISM=true", "TORCHINDUCTOR_COMPILE_THREADS=1",
		"TORCHINDUCTOR_CACHE_DIR="+filepath.Join(dir, "inductor"))
	p.command.Stderr = &p.said
	var err error
	if p.to, err = p.command.StdinPipe(); err != nil {
		stop()
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		stop()
		return nil, err
	}
	p.from = bufio.NewReader(out)
	if err := p.command.Start(); err != nil {
		stop()
		return nil, err
	}
	return p, nil
}

// errJob is wrapped by the errors of a job that its library refuses; the player lives on.
var errJob = errors.New("refused")

// ask sends one request and waits for the reply.
func (p *player) ask(r request) (reply, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return reply{}, err
	}
	if _, err := p.to.Write(append(line, '\n')); err != nil {
		return reply{}, fmt.Errorf("%s: %w%s", p.command.Path, err, p.said.quoted())
	}
	answer, err := p.from.ReadBytes('\n')
	if err != nil {
		return reply{}, fmt.Errorf("%s ended: %w%s", p.command.Path, err, p.said.quoted())
	}
	var back reply
	if err := json.Unmarshal(answer, &back); err != nil {
		return reply{}, fmt.Errorf("%s: %q: %w", p.command.Path, answer, err)
	}
	if back.Error != "" {
		return back, fmt.Errorf("%w: %s", errJob, back.Error)
	}
	return back, nil
}

// peakMemory is the most memory that the process has had resident, in bytes; 0 where the system does not say.
func (p *player) peakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	after, _, _ = strings.Cut(after, "kB")
	kilobytes, err := strconv.ParseInt(strings.TrimSpace(after), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}

// close ends the process. How it ends is of no interest: all that it had to say has been read.
func (p *player) close() {
	_ = p.to.Close()
	p.stop()
	_ = p.command.Wait()
}

// A tail keeps the last of what is written to it.
type tail struct{ kept []byte }

const tailSize = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b...)
	t.kept = t.kept[max(0, len(t.kept)-tailSize):]
	return len(b), nil
}

func (t *tail) quoted() string {
	if s := bytes.TrimSpace(t.kept); len(s) > 0 {
		return "\n" + string(s)
	}
	return ""
}
