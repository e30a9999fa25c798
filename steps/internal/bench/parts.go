package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/steps/internal/llm"
)

// A bench is one run of the program.
type bench struct {
	options
	ctx      context.Context
	dir      string // temporary
	versions map[string]string
	results  []Result
	progress func(string)
}

// parts are what can be measured, in order.
var parts = []struct {
	name, doc string
	run       func(*bench, int) error
}{
	{"gemm", "the three products of linear layers", (*bench).gemm},
	{"step", "whole training steps", (*bench).steps},
	{"decode", "decoding", (*bench).decode},
	{"bpe", "training and encoding of tokenizers", (*bench).tokenizers},
}

// sizes are Llama models with a tied head.
var sizes = []struct {
	name   string
	config llm.Config
}{
	{"1m", llama(4, 128, 4, 352, 2048)},
	{"12m", llama(6, 384, 6, 1024, 4096)},
	{"124m", llama(12, 768, 12, 2048, 50304)},
}

func llama(layers, width, heads, feedForward, vocabulary int) llm.Config {
	return llm.Config{
		VocabSize: vocabulary, HiddenSize: width, IntermediateSize: feedForward, NumHiddenLayers: layers,
		NumAttentionHeads: heads, NumKeyValueHeads: heads, HeadDim: width / heads, RMSNormEps: 1e-5, RopeTheta: 5e5,
		TieWordEmbeddings: true, MaxPositionEmbeddings: 1024, InitializerRange: 0.02,
	}
}

// athanor starts a player of this program.
func (b *bench) athanor(threads int) (*player, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.start(threads, self, serveArgument)
}

// peer starts a player of other people's libraries.
func (b *bench) peer(threads int) (*player, error) {
	return b.start(threads, b.python, filepath.Join(b.dir, peersName))
}

func (b *bench) start(threads int, name string, args ...string) (*player, error) {
	p, err := startPlayer(b.ctx, b.dir, threads, name, args...)
	if err != nil {
		return nil, err
	}
	back, err := p.ask(request{Do: "hello"})
	if err != nil {
		p.close()
		return nil, err
	}
	for what, version := range back.Versions {
		b.versions[what] = version
	}
	return p, nil
}

// field starts a player for each entrant; those that are not Athanor are left out without an interpreter.
func (b *bench) field(threads int, entrants ...*entrant) (kept []*entrant, err error) {
	for _, e := range entrants {
		switch {
		case e.own:
			e.player, err = b.athanor(threads)
		case b.python == "":
			continue
		default:
			e.player, err = b.peer(threads)
		}
		if err != nil {
			dismiss(kept)
			return nil, err
		}
		kept = append(kept, e)
	}
	return kept, nil
}

func dismiss(entrants []*entrant) {
	for _, e := range entrants {
		e.player.close()
	}
}

// compete runs a contest among players that are started for it and end with it.
func (b *bench) compete(c *contest, entrants ...*entrant) error {
	field, err := b.field(c.threads, entrants...)
	if err != nil {
		return err
	}
	defer dismiss(field)
	c.entrants = field
	return b.add(c)
}

// eachModel writes a folder with initial weights for each size that is asked for, and does what do says.
func (b *bench) eachModel(do func(name, dir string, config llm.Config) error) error {
	for _, size := range sizes {
		if !b.sizes[size.name] {
			continue
		}
		dir, err := b.model(size.name, size.config)
		if err != nil {
			return err
		}
		if err := do(size.name, dir, size.config); err != nil {
			return err
		}
	}
	return nil
}

// onDevice opens the CPU for what measures its limit.
func onDevice(threads int, do func(dev gpu.Device) error) error {
	dev, err := cpu.Open(threads)
	if err != nil {
		return err
	}
	return errors.Join(do(dev), dev.Close())
}

// shapes are those of the models' layers, and a square.
var shapes = []struct{ n, i, o int }{
	{2048, 128, 128}, {4096, 256, 256}, {4096, 256, 1024}, {4096, 1024, 256}, {4096, 384, 384}, {2048, 384, 1536},
	{2048, 1536, 384}, {2048, 768, 768}, {2048, 768, 2048}, {4096, 384, 4096}, {1024, 1024, 1024},
}

func (b *bench) gemm(threads int) error {
	return onDevice(threads, func(dev gpu.Device) error { return b.products(threads, dev) })
}

// products has the same players for all shapes, as a peer takes seconds to start; each has one job at a time, so that there
// is one for every precision.
func (b *bench) products(threads int, dev gpu.Device) error {
	jobs := []struct{ job, name, precision string }{
		{"gemm", "Athanor", float32Name}, {"gemm", "Athanor", bfloat16Name}, {"gemm-numpy", "OpenBLAS", float32Name},
		{"gemm-torch", "torch.mm", float32Name}, {"gemm-torch", "torch.mm, bf16", bfloat16Name},
	}
	players := make([]*entrant, len(jobs))
	for i, j := range jobs {
		players[i] = &entrant{name: j.name, own: j.job == "gemm"}
	}
	field, err := b.field(threads, players...)
	if err != nil {
		return err
	}
	defer dismiss(field)
	for _, s := range shapes {
		for _, product := range []string{"forward", "input", "weight"} {
			c := contest{
				part: "gemm", name: fmt.Sprintf("%s %d×%d×%d", product, s.n, s.i, s.o), threads: threads, unit: "GFLOP/s",
				work: 2e-9 * float64(s.n) * float64(s.i) * float64(s.o), seconds: 0.05, limit: arithmetic(dev, 1e9),
			}
			for i, player := range field { // without an interpreter only our own, which come first
				j := jobs[i]
				e := &entrant{name: j.name, own: player.own, player: player.player, tolerate: 1e-4}
				e.job = request{Job: j.job, Product: product, N: s.n, I: s.i, O: s.o, Precision: j.precision}
				if j.precision == bfloat16Name {
					e.tolerate = 3e-2
				}
				c.entrants = append(c.entrants, e)
			}
			if err := b.add(&c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) add(c *contest) error {
	c.clock = b.clock
	if err := c.run(b.rounds, b.progress); err != nil {
		return err
	}
	b.results = append(b.results, c.results()...)
	return nil
}

// The names of precisions.
const float32Name, bfloat16Name = string(gpu.Float32), string(gpu.BFloat16)

// stepTokens is the length of a step's batch.
const stepTokens = 2048

func (b *bench) steps(threads int) error {
	return onDevice(threads, func(dev gpu.Device) error {
		return b.eachModel(func(name, dir string, config llm.Config) error {
			flops := 6 * float64(config.Parameters())
			for _, length := range b.contexts {
				c := contest{
					part: "step", name: fmt.Sprintf("%s, %d×%d", name, stepTokens/length, length), threads: threads,
					unit: "tokens/s", work: stepTokens, seconds: 0.5, limit: arithmetic(dev, flops),
				}
				if err := b.step(&c, request{Job: "step", Model: dir, Context: length}, config.VocabSize); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// step measures one model, each entrant in a process of its own that did nothing before, so that its peak memory tells.
func (b *bench) step(c *contest, job request, vocabulary int) error {
	ids := numbersBelow(vocabulary, stepTokens+1)
	job.IDs, job.Targets = ids[:stepTokens], ids[1:]
	var entrants []*entrant
	for _, precision := range []string{float32Name, bfloat16Name} {
		e := stepEntrant("Athanor", job, precision, false)
		e.own = true
		entrants = append(entrants, e)
	}
	entrants = append(entrants, stepEntrant("PyTorch", job, float32Name, false))
	if b.compile {
		entrants = append(entrants, stepEntrant("PyTorch, compiled", job, float32Name, true))
	}
	entrants = append(entrants, stepEntrant("PyTorch, bf16", job, bfloat16Name, false))
	if b.compile {
		entrants = append(entrants, stepEntrant("PyTorch, bf16, compiled", job, bfloat16Name, true))
	}
	return b.compete(c, entrants...)
}

// stepEntrant takes part in a contest of training steps. What it tolerates covers a loss and a gradient's norm, before
// and after an update.
func stepEntrant(name string, job request, precision string, compile bool) *entrant {
	job.Precision, job.Compile = precision, compile
	tolerate := 1e-3
	if precision == bfloat16Name {
		tolerate = 3e-2
	}
	return &entrant{name: name, job: job, tolerate: tolerate, peak: true}
}

// numbersBelow are ids without a pattern.
func numbersBelow(n, count int) []int32 {
	ids := make([]int32, count)
	state := uint64(1)
	for i := range ids {
		state = state*6364136223846793005 + 1442695040888963407
		ids[i] = int32((state >> 33) % uint64(n))
	}
	return ids
}

// model writes a folder with initial weights, once.
func (b *bench) model(name string, config llm.Config) (string, error) {
	dir := filepath.Join(b.dir, name)
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, llm.WriteInitial(b.ctx, dir, config, 1)
}

// decodeTokens is the length of each answer.
const decodeTokens = 64

func (b *bench) decode(threads int) error {
	return b.eachModel(func(name, dir string, config llm.Config) error {
		for _, batch := range []int{1, 16} {
			bytes := 4 * float64(config.Parameters()) / float64(batch)
			c := contest{
				part: "decode", name: fmt.Sprintf("%s, batch %d", name, batch), threads: threads, unit: "tokens/s",
				work: float64(batch * decodeTokens), seconds: 0.3, limit: copying(threads, bytes),
			}
			job := request{Job: "decode", Model: dir, Batch: batch, Tokens: decodeTokens, Precision: float32Name}
			if err := b.compete(&c, &entrant{name: "Athanor", own: true, job: job}); err != nil {
				return err
			}
		}
		return nil
	})
}

// vocabulary of the tokenizer that is trained, and then encodes.
const tokenizerVocabulary = 8192

func (b *bench) tokenizers(threads int) error {
	text, folder := filepath.Join(b.dir, "text.jsonl"), filepath.Join(b.dir, "tokenizer")
	bytes, err := writeGoSources(b.ctx, text, b.megabytes<<20)
	if err != nil {
		return err
	}
	if err := writeTokenizer(text, folder); err != nil {
		return err
	}
	job := request{Text: text, Tokenizer: folder, Vocab: tokenizerVocabulary, Precision: float32Name}
	for _, part := range []struct{ name, job, tiktoken string }{{"train", "train", ""}, {"encode", "encode", "encode-tiktoken"}} {
		job.Job = part.job
		entrants := []*entrant{{name: "Athanor", own: true, job: job}, {name: "tokenizers", job: job}}
		if part.tiktoken != "" {
			job.Job = part.tiktoken
			entrants = append(entrants, &entrant{name: "tiktoken", job: job})
		}
		name := fmt.Sprintf("%s, %.1f MB", part.name, float64(bytes)/1e6)
		c := contest{part: "bpe", name: name, threads: threads, unit: "MB/s", work: float64(bytes) / 1e6, seconds: 0.5}
		if err := b.compete(&c, entrants...); err != nil {
			return err
		}
	}
	return nil
}

func writeTokenizer(text, folder string) error {
	texts, err := readTexts(text)
	if err != nil {
		return err
	}
	t, err := trainTokenizer(texts, tokenizerVocabulary)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return t.Save(folder)
}
