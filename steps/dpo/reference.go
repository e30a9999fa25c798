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
)

// referenceName is the file in the work folder that keeps the reference's log-probabilities, so that its model is read
// once and is not in memory beside the one that is trained. The work folder belongs to the step's key, so what is in it
// is of this very data, model and block.
const referenceName = "reference.json"

// references are the log-probabilities of all pairs.
type references struct {
	Train   []reference `json:"train"`
	HeldOut []reference `json:"held_out"`
}

// references reads what an earlier attempt computed, or computes it.
func (t *training) references(ctx context.Context, rt *steps.Runtime, dev gpu.Device) (references, error) {
	path := filepath.Join(rt.Spec().WorkDir, referenceName)
	var refs references
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &refs)
	}
	if err == nil && len(refs.Train) == len(t.data.Examples) && len(refs.HeldOut) == len(t.heldOut.Examples) {
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

// readReference reads every pair with the reference model.
func (t *training) readReference(ctx context.Context, rt *steps.Runtime, dev gpu.Device) (references, error) {
	var refs references
	dir := t.base.Dir
	if !t.config.Reference.IsZero() {
		dir = t.config.Reference.Path
	}
	m, err := llm.Load(dev, dir)
	if errors.Is(err, llm.ErrScore) && dir != t.base.Dir {
		return refs, steps.Blame("reference", "%w", err)
	}
	if err != nil {
		return refs, err
	}
	defer m.Close()
	if err := t.config.Numerics.Apply(m); err != nil { // like is compared with like
		return refs, err
	}
	if err := m.Inference(t.micro); err != nil {
		return refs, err
	}
	done, total := 0, len(t.data.Examples)+len(t.heldOut.Examples)
	read := func(pairs []finetune.Example) ([]reference, error) {
		var out []reference
		for _, b := range finetune.Pack(pairs, finetune.Evenly(len(pairs), len(pairs)), t.micro) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			logp, err := finetune.LogProbs(m, &b.Stream)
			if err != nil {
				return nil, err
			}
			for pair := range b.Extra.([]int) {
				c, r := t.objective.answer(&b.Stream, 2*pair, logp), t.objective.answer(&b.Stream, 2*pair+1, logp)
				out = append(out, reference{c.logp, r.logp})
			}
			done += len(b.Extra.([]int))
			rt.Progress(steps.Event{Done: float64(done), Total: float64(total), Unit: "pairs", Message: "reference"})
		}
		return out, nil
	}
	if refs.Train, err = read(t.data.Examples); err != nil {
		return refs, err
	}
	refs.HeldOut, err = read(t.heldOut.Examples)
	return refs, err
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
