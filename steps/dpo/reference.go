package dpo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// referenceName is the file in the work folder that keeps the reference's log-probabilities, so that its model is read
// once and is not in memory beside the one that is trained. The work folder belongs to the step's key, so what is in it
// is of this very data, model and block.
const referenceName = "reference.json"

// references are the log-probabilities of all examples.
type references struct {
	Train             []reference `json:"train"`
	HeldOut           []reference `json:"held_out"`
	TrainMismatched   []reference `json:"train_mismatched,omitempty"` // of kto
	HeldOutMismatched []reference `json:"held_out_mismatched,omitempty"`
}

// references reads what an earlier attempt computed, or computes it.
func (t *training) references(ctx context.Context, rt *steps.Runtime, dev gpu.Device) (references, error) {
	path := filepath.Join(rt.Spec().WorkDir, referenceName)
	var refs references
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &refs)
	}
	if err == nil && len(refs.Train) == len(t.Data.Examples) && len(refs.HeldOut) == len(t.HeldOut.Examples) &&
		len(refs.TrainMismatched) == len(t.mismatched) && len(refs.HeldOutMismatched) == len(t.heldOutMismatched) {
		rt.Log("the reference's log-probabilities are there already")
		return refs, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		rt.Warn("the reference's log-probabilities are computed anew: %v", err)
	}
	if refs, err = t.readReference(ctx, rt, dev); err != nil {
		return refs, err
	}
	if data, err = json.Marshal(refs); err != nil {
		return refs, fmt.Errorf("the reference's log-probabilities: %w", err)
	}
	return refs, writeWhole(path, data)
}

// readReference reads every example with the reference model.
func (t *training) readReference(ctx context.Context, rt *steps.Runtime, dev gpu.Device) (references, error) {
	var refs references
	dir := t.Base.Dir
	if !t.config.Reference.IsZero() {
		dir = t.config.Reference.Path
	}
	m, err := llm.Load(dev, dir)
	if errors.Is(err, llm.ErrScore) && dir != t.Base.Dir {
		return refs, steps.Blame("reference", "%w", err)
	}
	if err != nil {
		return refs, err
	}
	defer m.Close()
	if err := t.config.Numerics.Apply(m); err != nil { // like is compared with like
		return refs, err
	}
	if err := m.Inference(t.Micro); err != nil {
		return refs, err
	}
	lists := []struct {
		examples []finetune.Example
		out      *[]reference
	}{
		{t.Data.Examples, &refs.Train}, {t.HeldOut.Examples, &refs.HeldOut},
		{t.mismatched, &refs.TrainMismatched}, {t.heldOutMismatched, &refs.HeldOutMismatched},
	}
	done, total := 0, 0
	for _, l := range lists {
		total += len(l.examples)
	}
	for _, l := range lists {
		for _, b := range finetune.Pack(l.examples, finetune.Evenly(len(l.examples), len(l.examples)), t.Micro) {
			if err := ctx.Err(); err != nil {
				return refs, err
			}
			some, err := t.refer(m, l.examples, b)
			if err != nil {
				return refs, err
			}
			*l.out = append(*l.out, some...)
			done += len(some)
			rt.Progress(steps.Event{Done: float64(done), Total: float64(total), Unit: t.Unit, Message: "reference"})
		}
	}
	return refs, nil
}

// refer is what a model says of the examples of a batch.
func (t *training) refer(m *llm.Model, examples []finetune.Example, b *train.Batch) ([]reference, error) {
	var logp []float64
	if b.Stream.Len() > 0 { // prompts that are all the same have no mismatched answer
		var err error
		if logp, err = finetune.LogProbs(m, &b.Stream); err != nil {
			return nil, err
		}
	}
	var out []reference
	segment := 0
	for _, number := range b.Extra.([]int) {
		ref := reference{}
		for range examples[number].Segments {
			ref = append(ref, t.objective.sum(&b.Stream, segment, logp).logp)
			segment++
		}
		out = append(out, ref)
	}
	return out, nil
}

// writeWhole writes a file that is whole or not there.
func writeWhole(path string, data []byte) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
