package dpo

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"athanor/gpu"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/train"
	"athanor/steps/internal/train/traintest"
)

// A fixture is testdata/losses.json.
type fixture struct {
	Pairs []struct {
		Chosen, Rejected []float64
		RefChosen        []float64 `json:"ref_chosen"`
		RefRejected      []float64 `json:"ref_rejected"`
	}
	Cases map[string]struct {
		Variant                 string
		Beta, Smoothing, Margin float64
		Normalized              bool
		NLL                     float64
		Losses                  []float64
		ChosenRewards           []float64   `json:"chosen_rewards"`
		RejectedRewards         []float64   `json:"rejected_rewards"`
		GradChosen              [][]float64 `json:"grad_chosen"`
		GradRejected            [][]float64 `json:"grad_rejected"`
	}
	KTO []struct {
		Beta, Desirable, Undesirable, KL float64
		Other                            []struct{ Policy, Reference []float64 }
		Losses                           []float64
		ChosenRewards                    []float64   `json:"chosen_rewards"`
		RejectedRewards                  []float64   `json:"rejected_rewards"`
		GradChosen                       [][]float64 `json:"grad_chosen"`
		GradRejected                     [][]float64 `json:"grad_rejected"`
	}
}

func readFixture(t *testing.T) (f fixture) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "losses.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

func near(got, want float64) bool { return math.Abs(got-want) < 1e-9*(1+math.Abs(want)) }

// answerOf is a conversation of two tokens of prompt and so many of answer, all of which are targets.
func answerOf(n int) finetune.Segment {
	var s finetune.Segment
	for i := range n + 2 {
		s.IDs = append(s.IDs, int32(i))
		target := int32(i + 1)
		if i == 0 || i == n+1 {
			target = -1
		}
		s.Targets = append(s.Targets, target)
	}
	return s
}

// TestTRL: losses, rewards and gradients are those of TRL, for every variant.
func TestTRL(t *testing.T) {
	f := readFixture(t)
	var examples []finetune.Example
	var refs []reference
	var logp []float64
	for _, p := range f.Pairs {
		examples = append(examples, finetune.Example{Segments: []finetune.Segment{answerOf(len(p.Chosen)), answerOf(len(p.Rejected))}})
		refs = append(refs, reference{sum(p.RefChosen), sum(p.RefRejected)})
		for _, tokens := range [][]float64{p.Chosen, p.Rejected} {
			logp = append(append(append(logp, 0), tokens...), 0)
		}
	}
	b := finetune.Pack(examples, []int{0, 1, 2, 3}, 1000)[0]
	for name, c := range f.Cases {
		o := &preference{variant: c.Variant, beta: c.Beta, smoothing: c.Smoothing, margin: c.Margin, nll: c.NLL,
			normalized: c.Normalized || c.Variant == ipo || c.Variant == simpo || c.Variant == orpo}
		if c.Variant != simpo && c.Variant != orpo {
			o.reference = refs
		}
		h := &train.Head{Logp: logp, DLogp: make([]float64, len(logp))}
		if got := o.Loss(b, h); !near(got, sum(c.Losses)) {
			t.Errorf("%s: loss %v, TRL has %v", name, got, sum(c.Losses))
		}
		figures := o.Figures()
		if got := figures["chosen_reward"] * 4; !near(got, sum(c.ChosenRewards)) {
			t.Errorf("%s: rewards of chosen %v, TRL has %v", name, got, sum(c.ChosenRewards))
		}
		if got := figures["rejected_reward"] * 4; !near(got, sum(c.RejectedRewards)) {
			t.Errorf("%s: rewards of rejected %v, TRL has %v", name, got, sum(c.RejectedRewards))
		}
		at := 0
		for pair := range f.Pairs {
			for _, grad := range [][]float64{c.GradChosen[pair], c.GradRejected[pair]} {
				for i, want := range grad {
					if got := h.DLogp[at+1+i]; !near(got, want) {
						t.Errorf("%s, pair %d: derivative %v, TRL has %v", name, pair, got, want)
					}
				}
				if h.DLogp[at] != 0 || h.DLogp[at+1+len(grad)] != 0 {
					t.Errorf("%s: a token without a target has a derivative", name)
				}
				at += len(grad) + 2
			}
		}
	}
}

// TestDerivatives: with masked control tokens, too, derivatives are central differences, and a masked token is in the
// likelihood of the better answer alone.
func TestDerivatives(t *testing.T) {
	examples := []finetune.Example{
		{Segments: []finetune.Segment{answerOf(3), answerOf(4)}}, {Segments: []finetune.Segment{answerOf(2), answerOf(5)}},
	}
	b := finetune.Pack(examples, []int{1, 0}, 100)[0]
	refs := []reference{{-3, -5}, {-2, -9}}
	control := counting{func(id int32) bool { return id == 3 }}
	for name, o := range map[string]*preference{
		"dpo": {variant: dpo, beta: 0.1, reference: refs}, "nll": {variant: dpo, beta: 0.4, nll: 0.2, counting: control, reference: refs},
		"ipo":        {variant: ipo, beta: 0.3, normalized: true, counting: control, reference: refs},
		"simpo":      {variant: simpo, beta: 2, margin: 0.5, normalized: true, counting: control},
		"robust":     {variant: robust, beta: 0.2, smoothing: 0.2, reference: refs},
		"orpo":       {variant: orpo, beta: 0.7, normalized: true, nll: 1, counting: control},
		"normalized": {variant: dpo, beta: 3, smoothing: 0.1, normalized: true, counting: control, nll: 1, reference: refs},
	} {
		traintest.CheckObjective(t, name, o, b)
	}
	single := []finetune.Example{{Segments: []finetune.Segment{answerOf(3)}}, {Segments: []finetune.Segment{answerOf(4)}}}
	traintest.CheckObjective(t, "kto", &prospect{
		counting: control, beta: 0.3, goodWeight: 1.2, badWeight: 0.7, good: []bool{true, false}, reference: []reference{{-3}, {-2}}, z: 0.4,
	}, finetune.Pack(single, []int{1, 0}, 100)[0])
	h := &train.Head{Logp: make([]float64, b.Stream.Len()), DLogp: make([]float64, b.Stream.Len())}
	(&preference{variant: dpo, beta: 1, counting: control, reference: refs}).Loss(b, h)
	for n, target := range b.Stream.Targets {
		if target == 3 && h.DLogp[n] != 0 {
			t.Errorf("the masked token %d has the derivative %v", n, h.DLogp[n])
		}
	}
}

// TestTRLKTO: kto's divergence, losses, rewards and gradients are those of TRL, however the batch is cut.
func TestTRLKTO(t *testing.T) {
	f := readFixture(t)
	for _, c := range f.KTO {
		o := &prospect{beta: c.Beta, goodWeight: c.Desirable, badWeight: c.Undesirable, micro: 12}
		var examples []finetune.Example
		var logp, grads [][]float64
		for i, p := range f.Pairs {
			for _, side := range []struct{ tokens, ref, grad []float64 }{{p.Chosen, p.RefChosen, c.GradChosen[i]}, {p.Rejected, p.RefRejected, c.GradRejected[i]}} {
				examples = append(examples, finetune.Example{Segments: []finetune.Segment{answerOf(len(side.tokens))}})
				logp, grads = append(logp, side.tokens), append(grads, side.grad)
				o.reference, o.good = append(o.reference, reference{sum(side.ref)}), append(o.good, len(o.good)%2 == 0)
			}
		}
		for _, other := range c.Other {
			o.mismatched = append(o.mismatched, finetune.Example{Segments: []finetune.Segment{answerOf(len(other.Policy))}})
			o.mismatchedReference = append(o.mismatchedReference, reference{sum(other.Reference)})
		}
		batches := finetune.Pack(examples, []int{0, 1, 2, 3, 4, 5, 6, 7}, 16)
		if len(batches) < 3 {
			t.Fatalf("%d batches", len(batches))
		}
		at := 0
		err := o.Prepare(batches, func(s *gpu.Stream) ([]float64, error) {
			var out []float64
			for range s.Segments() {
				out = append(append(append(out, 0), c.Other[at].Policy...), 0)
				at++
			}
			return out, nil
		})
		if err != nil || !near(o.z, c.KL) {
			t.Errorf("z is %v, TRL has %v: %v", o.z, c.KL, err)
		}
		loss := 0.0
		for _, b := range batches {
			h := &train.Head{DLogp: make([]float64, b.Stream.Len())}
			for _, i := range b.Extra.([]int) {
				h.Logp = append(append(append(h.Logp, 0), logp[i]...), 0)
			}
			loss += o.Loss(b, h)
			n := 0
			for _, i := range b.Extra.([]int) {
				for k, want := range grads[i] {
					if got := h.DLogp[n+1+k]; !near(got, want) {
						t.Errorf("answer %d: derivative %v, TRL has %v", i, got, want)
					}
				}
				n += len(grads[i]) + 2
			}
		}
		if !near(loss, sum(c.Losses)) {
			t.Errorf("loss %v, TRL has %v", loss, sum(c.Losses))
		}
		figures := o.Figures()
		if !near(4*figures["chosen_reward"], sum(c.ChosenRewards)) || !near(4*figures["rejected_reward"], sum(c.RejectedRewards)) {
			t.Errorf("rewards %v, TRL has %v and %v", figures, c.ChosenRewards, c.RejectedRewards)
		}
	}
}

// TestORPOCertain: an answer that the model is certain of has finite odds.
func TestORPOCertain(t *testing.T) {
	o := &preference{variant: orpo, beta: 1}
	for _, at := range [][2]float64{{0, -1}, {-1, 0}, {0, 0}, {-1e-12, -1e-12}} {
		loss, dc, dr := o.loss(at[0], at[1])
		for _, v := range []float64{loss, dc, dr} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("at %v: %v, %v, %v", at, loss, dc, dr)
			}
		}
	}
}
