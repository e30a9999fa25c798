package evaluate

import (
	"context"
	"errors"
	"fmt"
	"iter"

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
	e, err := open(rt, &c)
	if err != nil {
		return err
	}
	defer e.model.Close()
	texts, closeTexts, err := c.texts()
	if err != nil {
		return errors.Join(err, closeTexts())
	}
	var results []result
	for _, t := range texts {
		r, err := e.score(ctx, t)
		if err != nil {
			return errors.Join(fmt.Errorf("dataset %s: %w", t.name, err), closeTexts())
		}
		rt.Log("%s: loss %.4f, %.4f bits per byte", r.Name, r.Loss, r.BitsPerByte)
		results = append(results, r)
	}
	if err := closeTexts(); err != nil {
		return err
	}
	var samples []sampling.Sample
	if c.Sample != nil {
		if samples, err = sampling.Draw(ctx, e.model, e.tokenizer, *c.Sample, rt.Seed()); err != nil {
			return err
		}
	}
	e.setValues(results)
	return e.report(results, samples)
}

// An evaluation is a model that is ready to read.
type evaluation struct {
	rt        *steps.Runtime
	config    *Config
	model     *llm.Model
	tokenizer *bpe.Tokenizer
	baselines []baseline
	scorer    train.Scorer
	start     int32 // the token before a text
	end       int32 // the token after it
}

func open(rt *steps.Runtime, c *Config) (*evaluation, error) {
	dev, err := rt.Device()
	if err != nil {
		return nil, err
	}
	e := &evaluation{rt: rt, config: c}
	if e.tokenizer, err = bpe.Load(c.Model.Path); err != nil {
		return nil, steps.Blame("model", "the model's tokenizer: %w", err)
	}
	var ok bool
	if e.end, ok = e.tokenizer.EOS(); !ok {
		return nil, steps.Blame("model", "the model's tokenizer has no end-of-text token: set eos_token in its tokenizer_config.json")
	}
	if e.start, ok = e.tokenizer.BOS(); !ok {
		e.start = e.end // as in training: one token stands between documents
	}
	if e.model, err = llm.Load(dev, c.Model.Path); err != nil {
		return nil, err
	}
	if size := e.tokenizer.VocabSize(); size > e.model.Config.VocabSize {
		return nil, steps.Blame("model", "the model's tokenizer has %d tokens, its embedding table %d rows", size, e.model.Config.VocabSize)
	}
	e.scorer = train.Scorer{Model: e.model, Context: e.model.Config.MaxPositionEmbeddings}
	if c.Context != nil {
		if *c.Context > e.scorer.Context {
			rt.Warn("the context is %d tokens, but the model is made for %d", *c.Context, e.scorer.Context)
		}
		e.scorer.Context = *c.Context
	}
	e.scorer.Micro = max(e.scorer.Context, microTokens)
	if err := e.model.Inference(e.scorer.Micro); err != nil {
		return nil, fmt.Errorf("%w. A shorter context needs less memory", err)
	}
	var missing []string
	if e.baselines, missing = c.baselines(); len(missing) > 0 {
		rt.Warn("this machine has no program %v: its column is left out. Install it to have the baseline", missing)
	}
	return e, nil
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

// setValues sets the value outputs.
func (e *evaluation) setValues(results []result) {
	values := map[string]map[string]float64{"loss": {}, "bits_per_byte": {}, "gzip": {}, "xz": {}}
	for _, r := range results {
		values["loss"][r.Name], values["bits_per_byte"][r.Name] = r.Loss, r.BitsPerByte
		for name, bits := range r.Baselines {
			values[name][r.Name] = bits
		}
	}
	for name, v := range values {
		e.rt.Set(name, v)
	}
}
