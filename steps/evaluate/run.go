package evaluate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train"
)

// microTokens is the most tokens of one forward pass where the context is shorter.
const microTokens = 4096

func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	texts, closeTexts, err := c.texts()
	if err != nil {
		return errors.Join(err, closeTexts())
	}
	outcomes, err := c.evaluate(ctx, rt, texts)
	if err := errors.Join(err, closeTexts()); err != nil {
		return err
	}
	c.compare(outcomes)
	setValues(rt, outcomes)
	return report(rt, outcomes)
}

// evaluate has one model after the other read and answer, so that only one is in memory.
func (c *Config) evaluate(ctx context.Context, rt *steps.Runtime, texts []text) ([]*outcome, error) {
	baselines, missing := c.baselines()
	if len(missing) > 0 {
		rt.Warn("this machine has no program %v: its column is left out. Install it and run again: this step is then run anew", missing)
	}
	models := []Other{{Name: c.Name, Model: c.Model}}
	var outcomes []*outcome
	for i, m := range append(models, c.Others...) {
		e := &evaluation{rt: rt, config: c, dir: m.Model.Path, at: "model", outcome: outcome{Model: m.Name}}
		if i > 0 {
			e.first, e.beside = outcomes[0], true
			e.at = fmt.Sprintf("compare[%d].model", i-1)
		} else {
			e.baselines = baselines
		}
		if err := e.open(); err != nil {
			return nil, err
		}
		err := e.all(ctx, texts)
		e.model.Close()
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, &e.outcome)
	}
	return outcomes, nil
}

// An outcome is all that came of one model.
type outcome struct {
	Model      string         `json:"model"`
	Against    string         `json:"against,omitempty"` // the model whose figures its own are set against
	Parameters int64          `json:"parameters"`
	Context    int            `json:"context"`
	Texts      []result       `json:"datasets"`
	Measures   []measure      `json:"measures"`
	Needles    []found        `json:"needles,omitempty"`
	Chats      []conversation `json:"chats,omitempty"`

	items     []item
	samples   []sampling.Sample
	baselines []baseline // that have read the texts beside the model
	beside    bool       // it is one of the models to compare with
}

// prefix is put before the name of a dataset or task where several models have figures.
func (o *outcome) prefix() string {
	if !o.beside {
		return ""
	}
	return o.Model + "/"
}

// An evaluation is a model that is ready to read.
type evaluation struct {
	rt        *steps.Runtime
	config    *Config
	dir       string // of the model
	at        string // the attribute that names it
	model     *llm.Model
	tokenizer *bpe.Tokenizer
	scorer    train.Scorer
	start     int32    // the token before a text
	end       int32    // the token after it
	stop      []int32  // tokens that end an answer
	first     *outcome // of the first model; nil for that itself
	truncated int      // queries whose beginning did not fit

	outcome
}

// open loads the model.
func (e *evaluation) open() error {
	dir, at := e.dir, e.at
	dev, err := e.rt.Device()
	if err != nil {
		return err
	}
	if e.tokenizer, err = bpe.Load(dir); err != nil {
		return steps.Blame(at, "the model's tokenizer: %w", err)
	}
	var ok bool
	if e.end, ok = e.tokenizer.EOS(); !ok {
		return steps.Blame(at, "the model's tokenizer has no end-of-text token: set eos_token in its tokenizer_config.json")
	}
	e.stop = []int32{e.end}
	if eot, ok := e.tokenizer.EOT(); ok {
		e.stop = append(e.stop, eot)
	}
	if e.start, ok = e.tokenizer.BOS(); !ok {
		e.start = e.end // as in training: one token stands between documents
	}
	if e.model, err = llm.Load(dev, dir); errors.Is(err, llm.ErrScore) {
		return steps.Blame(at, "%w", err)
	} else if err != nil {
		return err
	}
	if err := e.prepare(at); err != nil {
		e.model.Close()
		return err
	}
	return nil
}

// prepare settles the context and reserves memory.
func (e *evaluation) prepare(at string) error {
	if size := e.tokenizer.VocabSize(); size > e.model.Config.VocabSize {
		return steps.Blame(at, "the model's tokenizer has %d tokens, its embedding table %d rows", size, e.model.Config.VocabSize)
	}
	e.scorer = train.Scorer{Model: e.model, Context: e.model.Config.MaxPositionEmbeddings}
	if window := e.config.Context; window != nil {
		if *window > e.scorer.Context {
			e.rt.Warn("the context is %d tokens, but the model is made for %d", *window, e.scorer.Context)
		}
		e.scorer.Context = *window
	}
	e.scorer.Micro = max(e.scorer.Context, microTokens)
	if err := e.model.Inference(e.scorer.Micro); err != nil {
		return fmt.Errorf("%w. A shorter context needs less memory", err)
	}
	e.Parameters, e.Context = e.model.Config.Parameters(), e.scorer.Context
	return nil
}

// all reads the texts, does the tasks and draws the samples.
func (e *evaluation) all(ctx context.Context, texts []text) error {
	for _, t := range texts {
		r, err := e.score(ctx, t)
		if err != nil {
			return fmt.Errorf("dataset %s: %w", t.name, err)
		}
		e.rt.Log("%s%s: loss %.4f, %.4f bits per byte", e.prefix(), r.Name, r.Loss, r.BitsPerByte)
		e.Texts = append(e.Texts, r)
	}
	if err := e.runTasks(ctx); err != nil {
		return err
	}
	if e.config.Sample == nil {
		return nil
	}
	var err error
	e.samples, err = sampling.Draw(ctx, e.model, e.tokenizer, *e.config.Sample, e.rt.Seed())
	return err
}

// A result is what came of one dataset.
type result struct {
	Name        string             `json:"name"`
	Documents   int64              `json:"documents"`
	Bytes       int64              `json:"bytes"`
	Tokens      int64              `json:"tokens"`
	Loss        float64            `json:"loss"`
	BitsPerByte float64            `json:"bits_per_byte"`
	Baselines   map[string]float64 `json:"baselines"` // bits per byte, by name
}

// score reads one dataset with the model and the compressors, in one pass.
func (e *evaluation) score(ctx context.Context, t text) (result, error) {
	r := result{Name: t.name, Baselines: map[string]float64{}}
	var compressors []compressor
	for _, b := range e.baselines {
		c, err := b.open(ctx)
		if err != nil {
			return r, err
		}
		compressors = append(compressors, c)
	}
	var bits, bytes []float64
	e.scorer.Document = func(s train.Score) {
		bits, bytes = append(bits, s.Nats/math.Ln2), append(bytes, float64(s.Bytes))
	}
	s, err := e.scorer.Score(ctx, e.documents(t, compressors))
	for i, c := range compressors {
		size, e2 := c.Finish()
		if e2 != nil && err == nil {
			err = fmt.Errorf("%s: %w", e.baselines[i].title, e2)
		}
		r.Baselines[e.baselines[i].name] = 8 * float64(size) / float64(max(1, s.Bytes))
	}
	if err != nil {
		return r, err
	}
	if s.Bytes == 0 {
		return r, errors.New("there is no text to read")
	}
	r.Documents, r.Bytes, r.Tokens, r.Loss, r.BitsPerByte = s.Documents, s.Bytes, s.Tokens, s.Loss(), s.BitsPerByte()
	e.Measures = append(e.Measures, measure{
		Task: t.name, Metric: "bits_per_byte", Items: len(bits), figure: ratio(bits, bytes), num: bits, den: bytes,
	})
	return r, nil
}

// documents encodes the texts of a dataset as in training, and feeds them to the compressors on the way.
func (e *evaluation) documents(t text, compressors []compressor) iter.Seq2[train.Document, error] {
	return func(yield func(train.Document, error) bool) {
		done := int64(0)
		for d, err := range t.limited(e.config.Bytes) {
			for _, c := range compressors {
				if err == nil {
					_, err = c.Write([]byte(d))
				}
			}
			if err != nil {
				yield(train.Document{}, err)
				return
			}
			ids := e.tokenizer.EncodeAppend([]int32{e.start}, d)
			if !yield(train.Document{IDs: append(ids, e.end), Bytes: len(d)}, nil) {
				return
			}
			done += int64(len(d))
			e.rt.Progress(steps.Event{Done: float64(done), Total: float64(t.bytes), Unit: "bytes", Message: t.name})
		}
	}
}
