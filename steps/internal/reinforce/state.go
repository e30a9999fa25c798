package reinforce

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"athanor/steps/internal/finetune"
	"athanor/steps/internal/sampling"
)

// state is all that a run carries from one optimizer step to the next, but for weights and moments.
type state struct {
	Iteration int       `json:"iteration"` // behind us
	Rollouts  []Rollout `json:"rollouts"`  // of the iteration under way; nil until they are there
	Epoch     int       `json:"epoch"`     // of that iteration, behind us
	Batch     int       `json:"batch"`     // optimizer steps of that epoch, behind us
	Left      bool      `json:"left"`      // the rest of that iteration's steps is left out

	Figures map[string]float64 `json:"figures"` // of the last answers of a policy within bounds
	Updates finetune.Means     `json:"updates"` // figures of the iteration's optimizer steps
	Gap     float64            `json:"gap"`     // between sampler and trainer, at the beginning of the iteration

	First   float64           `json:"first"`   // mean score of the first iteration's answers
	Length  float64           `json:"length"`  // their mean length
	Warned  map[string]bool   `json:"warned"`  // ranges that have been left
	Bounded bool              `json:"bounded"` // the bound of the divergence ended the run
	Samples []sampling.Sample `json:"samples"`

	PolicyUpdates int    `json:"policy_updates"`
	CriticUpdates int    `json:"critic_updates"`
	Method        []byte `json:"method"`
}

// The files of a checkpoint.
const (
	stateName    = "state.json"
	policyName   = "policy.f32"
	criticName   = "critic.f32"
	snapshotName = "snapshot.f32"
)

// save writes a checkpoint's files.
func (t *Training) save(dir string) error {
	var err error
	s := t.state
	if s.Method, err = t.Method.State(); err != nil {
		return err
	}
	s.PolicyUpdates = t.policy.Updates()
	if err := t.policy.Save(filepath.Join(dir, policyName)); err != nil {
		return err
	}
	if t.values != nil {
		s.CriticUpdates = t.values.Updates()
		if err := t.values.Save(filepath.Join(dir, criticName)); err != nil {
			return err
		}
	}
	if t.snapshot != nil {
		var data []byte
		for _, w := range t.snapshot {
			for _, x := range w {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, snapshotName), data, 0o666); err != nil {
			return err
		}
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, stateName), data, 0o666)
}

// restore reads what save wrote.
func (t *Training) restore(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%s: %w", stateName, err)
	}
	if err := t.policy.Load(filepath.Join(dir, policyName), s.PolicyUpdates); err != nil {
		return err
	}
	if t.values != nil {
		if err := t.values.Load(filepath.Join(dir, criticName), s.CriticUpdates); err != nil {
			return err
		}
	}
	if err := t.Method.Restore(s.Method); err != nil {
		return err
	}
	data, err = os.ReadFile(filepath.Join(dir, snapshotName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		t.snapshot = nil
	case err != nil:
		return err
	default:
		t.snapshot = t.weights() // for their sizes
		for _, w := range t.snapshot {
			if len(data) < 4*len(w) {
				return fmt.Errorf("%s is shorter than the model", snapshotName)
			}
			for i := range w {
				w[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			}
			data = data[4*len(w):]
		}
	}
	t.state = s
	return nil
}

// weights copies the policy's weights to the host.
func (t *Training) weights() [][]float32 {
	var all [][]float32
	for _, p := range t.model.Params() {
		w := make([]float32, p.Weight.Len())
		p.Read(t.model.Device(), w, 0)
		all = append(all, w)
	}
	return all
}

// write sets the policy's weights.
func (t *Training) write(weights [][]float32) {
	for i, p := range t.model.Params() {
		p.Write(t.model.Device(), 0, weights[i])
	}
}

// pick returns the prompts of some numbers.
func pick(prompts []finetune.Prompt, which []int) []finetune.Prompt {
	out := make([]finetune.Prompt, len(which))
	for i, number := range which {
		out[i] = prompts[number]
	}
	return out
}
