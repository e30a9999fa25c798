// Command bench measures Athanor's CPU side beside its peers, in one run and round by round, so that a machine whose
// speed drifts treats both sides alike:
//
//	gemm    the products of linear layers, beside numpy's OpenBLAS and torch.mm
//	step    whole training steps, beside PyTorch: eager and compiled, float32 and bfloat16 autocast; with peak memory
//	decode  decoding, against the weights' bytes over the bandwidth of copying memory
//	bpe     training and encoding of tokenizers, beside Hugging Face's tokenizers and tiktoken
//
//	go run ./steps/internal/bench --python .venv/bin/python --only gemm,step --sizes 1m,12m --rounds 5
//
// Beside each sample the machine's own limit is measured: multiplications and additions within registers, or copying.
// Every side runs in child processes (players) that take one request per line: this program again (serve.go), and
// peers.py, whose header pins the versions. Before anything is timed, both must have computed the same numbers.
// Without an interpreter the peers are left out.
//
// Start at parts.go for what is measured and at measure.go for how. Operators one by one are measured by the Go
// benchmarks of gpu/cpu; nothing here is part of the product.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"athanor/gpu/cpu"
)

const peersName = "peers.py"

//go:embed peers.py
var peers []byte

// pythonVariable is the environment variable that names the interpreter.
const pythonVariable = "ATHANOR_PYTHON"

// options are the command line.
type options struct {
	python    string // "": no peers
	only      map[string]bool
	sizes     map[string]bool
	contexts  []int
	threads   []int
	clock     string
	rounds    int
	megabytes int
	compile   bool
	json      bool
	markdown  bool
}

func main() {
	if serving() {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	report, err := measure(ctx, o, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if report != nil { // after an interruption too
		err = errors.Join(err, report.print(os.Stdout, o))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string, errs io.Writer) (options, error) {
	var o options
	var only, models, contexts, threads string
	var partNames, sizeNames []string
	for _, p := range parts {
		partNames = append(partNames, p.name)
	}
	for _, s := range sizes {
		sizeNames = append(sizeNames, s.name)
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.python, "python", os.Getenv(pythonVariable), "interpreter that has the peers' libraries; default $"+pythonVariable)
	f.StringVar(&only, "only", strings.Join(partNames, ","), "parts to measure")
	f.StringVar(&models, "sizes", strings.Join(sizeNames, ","), "models of step and decode, by parameters")
	f.StringVar(&contexts, "contexts", "256,1024", "tokens per segment of step; each divides 2048")
	f.StringVar(&threads, "threads", fmt.Sprintf("1,%d", runtime.NumCPU()), "worker threads")
	f.StringVar(&o.clock, "clock", "wall", "wall, or cpu: the time that a process was running, for one thread on a machine with other load")
	f.IntVar(&o.rounds, "rounds", 5, "samples of each side")
	f.IntVar(&o.megabytes, "text", 16, "MiB of Go sources for bpe")
	f.BoolVar(&o.compile, "compile", true, "measure torch.compile as well (minutes)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.markdown, "markdown", false, "print the tables of BENCHMARKS.md")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.only, err = choose("--only", only, partNames); err != nil {
		return o, err
	}
	if o.sizes, err = choose("--sizes", models, sizeNames); err != nil {
		return o, err
	}
	if o.contexts, err = positive("--contexts", contexts); err != nil {
		return o, err
	}
	if o.threads, err = positive("--threads", threads); err != nil {
		return o, err
	}
	for _, length := range o.contexts {
		if stepTokens%length != 0 || length > 1024 {
			return o, fmt.Errorf("--contexts: %d is no divisor of %d up to 1024", length, stepTokens)
		}
	}
	if _, err := choose("--clock", o.clock, []string{"wall", "cpu"}); err != nil {
		return o, err
	}
	if o.clock == "cpu" && !slices.Equal(o.threads, []int{1}) {
		return o, fmt.Errorf("--clock cpu goes with --threads 1: of several threads it would count the waiting")
	}
	if o.rounds < 1 || o.megabytes < 1 || f.NArg() > 0 {
		return o, fmt.Errorf("--rounds and --text are at least 1, and there are no other arguments")
	}
	return o, nil
}

func choose(option, list string, known []string) (map[string]bool, error) {
	chosen := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s: there is no %q: choose from %s", option, name, strings.Join(known, ", "))
		}
		chosen[name] = true
	}
	return chosen, nil
}

// positive reads a list of numbers, each once.
func positive(option, list string) (numbers []int, err error) {
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s: %q is no positive number", option, word)
		}
		if !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// measure runs the chosen parts. Beside an error it returns what was measured until then.
func measure(ctx context.Context, o options, progress func(string)) (report *Report, err error) {
	dir, err := os.MkdirTemp("", "athanor-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.WriteFile(filepath.Join(dir, peersName), peers, 0o644); err != nil {
		return nil, err
	}
	if o.python == "" {
		progress("no Python interpreter (--python, $" + pythonVariable + "): the peers are left out")
	}
	b := &bench{options: o, ctx: ctx, dir: dir, versions: map[string]string{}, progress: progress}
	machine, err := machine()
	if err != nil {
		return nil, err
	}
	before := load()
	err = b.runParts()
	return &Report{
		Machine: machine, Load: []string{before, load()}, Versions: b.versions, Peers: o.python != "", Clock: o.clock,
		Rounds: o.rounds, Results: b.results,
	}, err
}

func (b *bench) runParts() error {
	for _, part := range parts {
		if !b.only[part.name] {
			continue
		}
		for _, threads := range b.threads {
			err := part.run(b, threads)
			if b.ctx.Err() != nil {
				return fmt.Errorf("interrupted in %s; what was measured until then is printed", part.name)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	return nil
}

// machine is the processor, the code path chosen for it, its cores and its memory.
func machine() (string, error) {
	dev, err := cpu.Open(1)
	if err != nil {
		return "", err
	}
	info := dev.Info()
	return fmt.Sprintf("%s, %d cores, %.0f GiB", info.Name, runtime.NumCPU(), float64(info.Memory)/(1<<30)), dev.Close()
}

// load is the machine's load averages, or "" where there is no such file.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return ""
	}
	return strings.Join(fields[:3], " ")
}
