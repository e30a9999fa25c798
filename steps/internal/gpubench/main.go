// Command gpubench measures training and decoding on a GPU, one figure a call, as one line of JSON; peers.py measures the
// same with PyTorch and transformers. bench-cuda (gpu/cuda/ongpu) calls both in turn and prints a table of what they say.
//
//	gpubench peak                                        an 8192³ product in bfloat16
//	gpubench step --model 350m --context 2048            whole training steps: forward, backward, clipping, AdamW
//	gpubench decode --model 350m --batch 32              decoding from one-token prompts
//	gpubench table RESULTS                               the table of a file of such lines
//
// Weights are random, tokens too: speed does not depend on them. A step takes as many tokens as fit of the sizes tried,
// the largest first.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A Result is one figure of one side.
type Result struct {
	Job     string  `json:"job"`
	Side    string  `json:"side"`
	Model   string  `json:"model,omitempty"`
	Context int     `json:"context,omitempty"`
	Batch   int     `json:"batch,omitempty"`
	Tokens  int     `json:"tokens,omitempty"` // of a step
	Rate    float64 `json:"rate"`             // tokens per second; of peak, FLOP per second
	FLOPs   float64 `json:"flops,omitempty"`  // per token
	Bytes   int64   `json:"bytes,omitempty"`  // of GPU memory, at most
	Device  string  `json:"device,omitempty"`
	Problem string  `json:"problem,omitempty"` // instead of a rate
}

// side is the name of this program in the table.
const side = "Athanor"

// models are Llamas with a tied head; peers.py has the same.
var models = map[string]llm.Config{
	"tiny": llama(2, 64, 2, 128, 256),
	"124m": llama(12, 768, 12, 2048, 50304),
	"350m": llama(24, 1024, 16, 2816, 50304),
	"1.2b": llama(22, 2048, 16, 5504, 50304),
}

func llama(layers, width, heads, feedForward, vocabulary int) llm.Config {
	return llm.Config{
		VocabSize: vocabulary, HiddenSize: width, IntermediateSize: feedForward, NumHiddenLayers: layers,
		NumAttentionHeads: heads, NumKeyValueHeads: heads, HeadDim: width / heads, RMSNormEps: 1e-5, RopeTheta: 5e5,
		TieWordEmbeddings: true, MaxPositionEmbeddings: 8192, InitializerRange: 0.02,
	}
}

type options struct {
	device, model, sizes  string
	context, batch, count int
}

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "gpubench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say what to measure: peak, step, decode or table")
	}
	job := args[0]
	if job == "table" && len(args) == 2 {
		return table(os.Stdout, args[1])
	}
	var o options
	f := flag.NewFlagSet("gpubench "+job, flag.ContinueOnError)
	f.StringVar(&o.device, "device", "cuda", "device")
	f.StringVar(&o.model, "model", "124m", "tiny, 124m, 350m or 1.2b")
	f.StringVar(&o.sizes, "tokens", "131072,65536,32768,16384,8192", "sizes of a step's batch to try, in tokens")
	f.IntVar(&o.context, "context", 1024, "tokens of each text")
	f.IntVar(&o.batch, "batch", 32, "texts to decode side by side")
	f.IntVar(&o.count, "count", 20, "steps to measure, or tokens to decode of each text")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	config, ok := models[o.model]
	if !ok {
		return fmt.Errorf("no model is called %q", o.model)
	}
	var r Result
	for size := range strings.SplitSeq(o.sizes, ",") {
		tokens, err := strconv.Atoi(size)
		if err != nil || tokens < 1 {
			return fmt.Errorf("--tokens: %q is no number of tokens", size)
		}
		if r, err = attempt(job, o, config, tokens); !errors.Is(err, gpu.ErrOutOfMemory) {
			break
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// attempt measures on a device of its own, so that its memory tells of this attempt alone.
func attempt(job string, o options, config llm.Config, tokens int) (Result, error) {
	dev, err := steps.OpenDevice(o.device, 0)
	if err != nil {
		return Result{Job: job, Side: side, Problem: err.Error()}, err
	}
	r, err := measure(dev, job, o, config, tokens)
	if err != nil {
		r.Problem = err.Error()
	}
	if meter, ok := dev.(interface{ PeakBytes() int64 }); ok {
		r.Bytes = meter.PeakBytes()
	}
	r.Job, r.Side, r.Device = job, side, dev.Info().Name
	return r, errors.Join(err, dev.Close())
}

func measure(dev gpu.Device, job string, o options, config llm.Config, tokens int) (Result, error) {
	switch job {
	case "peak":
		rate, err := peak(dev, 8192)
		return Result{Rate: rate}, err
	case "step":
		r := Result{Model: o.model, Context: o.context, Tokens: tokens, FLOPs: config.FLOPsPerToken(o.context)}
		if tokens < o.context {
			return r, fmt.Errorf("%d tokens hold no text of %d", tokens, o.context)
		}
		var err error
		r.Rate, err = step(dev, config, tokens, o.context, o.count)
		return r, err
	case "decode":
		r := Result{Model: o.model, Batch: o.batch, Tokens: o.count}
		var err error
		r.Rate, err = decode(dev, config, o.batch, o.count)
		return r, err
	}
	return Result{}, fmt.Errorf("nothing to measure is called %q", job)
}

// peak is the FLOP per second of a product of two square matrices in bfloat16.
func peak(dev gpu.Device, n int) (float64, error) {
	var x [3]gpu.Tensor
	for i := range x {
		var err error
		if x[i], err = dev.Alloc(gpu.BF16, n, n); err != nil {
			return 0, err
		}
		defer dev.Free(x[i])
	}
	const calls = 20
	seconds, err := clock(dev, 3, calls, func() error { dev.Linear(x[2], x[0], x[1], gpu.Tensor{}); return nil })
	return calls * 2 * float64(n) * float64(n) * float64(n) / seconds, err
}

// clock returns the seconds of some calls after others that warm up.
func clock(dev gpu.Device, warm, calls int, call func() error) (float64, error) {
	var begin time.Time
	for i := range warm + calls {
		if i == warm {
			if err := dev.Sync(); err != nil {
				return 0, err
			}
			begin = time.Now()
		}
		if err := call(); err != nil {
			return 0, err
		}
	}
	err := dev.Sync()
	return time.Since(begin).Seconds(), err
}

// newModel computes in bfloat16; its weights are zero until Init.
func newModel(dev gpu.Device, c llm.Config) (*llm.Model, error) {
	m, err := llm.New(dev, c)
	if err == nil {
		err = m.SetPrecision(gpu.BFloat16)
	}
	if err != nil && m != nil {
		m.Close()
	}
	return m, err
}

// step measures training steps, in tokens per second.
func step(dev gpu.Device, c llm.Config, tokens, length, count int) (float64, error) {
	m, err := newModel(dev, c)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	config := train.AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1}
	trainer, err := train.NewTrainer(dev, m, train.CrossEntropy{}, config, tokens)
	if err != nil {
		return 0, err
	}
	defer trainer.Close()
	if err := m.Init(1); err != nil { // only now: it takes longer than to find that the memory does not suffice
		return 0, err
	}
	batch := &train.Batch{}
	ids := make([]int32, tokens+1)
	for i := range ids {
		ids[i] = int32(uint32(i) * 2654435761 % uint32(c.VocabSize))
	}
	for from := 0; from+length <= tokens; from += length {
		batch.Stream.Append(ids[from:from+length], ids[from+1:from+length+1], 0)
	}
	seconds, err := clock(dev, 3, count, func() error {
		_, err := trainer.Step([]*train.Batch{batch}, 3e-4)
		return err
	})
	return float64(batch.Stream.Len()*count) / seconds, err
}

// decode measures generation at temperature 1, in tokens per second over all texts.
func decode(dev gpu.Device, c llm.Config, batch, count int) (float64, error) {
	m, err := newModel(dev, c)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	if err := m.Init(1); err != nil {
		return 0, err
	}
	prompts := make([][]int32, batch)
	for i := range prompts {
		prompts[i] = []int32{int32(i % c.VocabSize)}
	}
	o := llm.Sampling{MaxTokens: count, Temperature: 1, Slots: batch}
	seconds, err := clock(dev, 1, 1, func() error {
		_, err := m.Generate(context.Background(), prompts, o, nil)
		return err
	})
	return float64(batch*count) / seconds, err
}
