package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
	"athanor/steps/internal/llm"
)

func TestCrossEntropyDerivatives(t *testing.T) {
	b := &Batch{Stream: gpu.Stream{Targets: []int32{3, gpu.NoTarget, 0, 7}}}
	h := &Head{Logp: []float64{-1.5, 0, -0.2, -4}, LSE: []float64{2, 0, -1, 0.5}, DLogp: make([]float64, 4), DLSE: make([]float64, 4)}
	o := CrossEntropy{ZLoss: 0.01}
	if o.Units(b) != 3 {
		t.Fatalf("%d units", o.Units(b))
	}
	loss := o.Loss(b, h)
	if want := 1.5 + 0.2 + 4 + 0.01*(4+1+0.25); math.Abs(loss-want) > 1e-12 {
		t.Errorf("loss %g, want %g", loss, want)
	}
	dLogp, dLSE := slices.Clone(h.DLogp), slices.Clone(h.DLSE)
	for _, part := range []struct {
		name    string
		x, have []float64
	}{{"logp", h.Logp, dLogp}, {"lse", h.LSE, dLSE}} {
		for i := range part.x {
			const eps = 1e-6
			x := part.x[i]
			part.x[i] = x + eps
			up := o.Loss(b, h)
			part.x[i] = x - eps
			down := o.Loss(b, h)
			part.x[i] = x
			if want := (up - down) / (2 * eps); math.Abs(part.have[i]-want) > 1e-8 {
				t.Errorf("d%s[%d] is %g, central differences give %g", part.name, i, part.have[i], want)
			}
		}
	}
}

// gradients runs one step over the batches and returns its result and the gradients that it used.
func gradients(t *testing.T, batches []*Batch) (Result, []float64) {
	t.Helper()
	m := newModel(t, ref.Open())
	trainer, err := NewTrainer(m.Device(), m, CrossEntropy{ZLoss: 1e-3}, AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}, 256)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	r, err := trainer.Step(batches, 1e-3)
	if err != nil {
		t.Fatal(err)
	}
	var grads []float64
	for _, p := range m.Params() {
		grads = append(grads, ref.Float64(p.Grad)...)
	}
	return r, grads
}

func TestPitfall04AccumulationDoesNotChangeTheGradient(t *testing.T) {
	docs := counting().docs[:8] // of unequal lengths
	var split []*Batch
	for _, d := range docs {
		split = append(split, &Batch{Stream: stream(d)})
	}
	whole, wholeGrads := gradients(t, []*Batch{{Stream: stream(docs...)}})
	parts, partGrads := gradients(t, split)
	if whole.Units != parts.Units || math.Abs(whole.Loss-parts.Loss) > 1e-12 || math.Abs(whole.GradNorm-parts.GradNorm) > 1e-12 {
		t.Errorf("1×8 gives %+v, 8×1 gives %+v", whole, parts)
	}
	for i := range wholeGrads {
		if math.Abs(wholeGrads[i]-partGrads[i]) > 1e-12 {
			t.Fatalf("gradient %d is %g in 1×8 and %g in 8×1", i, wholeGrads[i], partGrads[i])
		}
	}
}

// TestPitfall05GlobalTokens: a batch whose parts have very different numbers of tokens, as the ranks of a cluster would, has
// the loss and the gradients of all tokens together, and those are not the means of the parts' means.
func TestPitfall05GlobalTokens(t *testing.T) {
	docs := counting().docs[:8]
	ranks := []*Batch{{Stream: stream(docs[0])}, {Stream: stream(docs[1:]...)}}
	whole, grads := gradients(t, ranks)
	loss, means, units := 0.0, 0.0, 0
	sum, meanOfGrads := make([]float64, len(grads)), make([]float64, len(grads))
	for _, rank := range ranks {
		own, ownGrads := gradients(t, []*Batch{rank})
		loss += own.Loss * float64(own.Units)
		means += own.Loss / float64(len(ranks))
		units += own.Units
		for i, g := range ownGrads {
			sum[i] += g * float64(own.Units)
			meanOfGrads[i] += g / float64(len(ranks))
		}
	}
	if whole.Units != units || math.Abs(whole.Loss-loss/float64(units)) > 1e-12 {
		t.Errorf("the loss is %v of %d tokens, want %v of %d", whole.Loss, whole.Units, loss/float64(units), units)
	}
	if math.Abs(whole.Loss-means) < 1e-3 {
		t.Errorf("the loss %v is that of the mean of means %v", whole.Loss, means)
	}
	off := 0.0
	for i, g := range grads {
		if math.Abs(g-sum[i]/float64(units)) > 1e-12 {
			t.Fatalf("gradient %d is %g, want %g", i, g, sum[i]/float64(units))
		}
		off = max(off, math.Abs(g-meanOfGrads[i]))
	}
	if off < 1e-3 {
		t.Error("the gradients are those of a mean of means")
	}
}

func TestPitfall10NothingToLearn(t *testing.T) {
	docs := counting().docs
	masked := &Batch{Stream: stream(docs[3])}
	for i := range masked.Stream.Targets {
		masked.Stream.Targets[i] = gpu.NoTarget
	}
	learns := &Batch{Stream: stream(docs[4])}
	alone, want := gradients(t, []*Batch{learns})
	beside, got := gradients(t, []*Batch{masked, learns})
	if alone != beside || !slices.Equal(want, got) {
		t.Errorf("beside a micro-batch without targets: %+v, alone: %+v", beside, alone)
	}

	m := newModel(t, ref.Open())
	trainer, err := NewTrainer(m.Device(), m, CrossEntropy{}, AdamW{WeightDecay: 1}, 256)
	if err != nil {
		t.Fatal(err)
	}
	before := ref.Float64(m.Params()[1].Weight)
	r, err := trainer.Step([]*Batch{masked}, 1)
	if err != nil || r != (Result{}) {
		t.Errorf("a step without targets: %+v, %v", r, err)
	}
	if after := ref.Float64(m.Params()[1].Weight); !slices.Equal(before, after) {
		t.Error("a step without targets changed the weights")
	}
}

// idle stands for a model whose operators cost nothing, so that only the trainer's own work is left.
type idle struct{ *llm.Model }

func (idle) Forward(*gpu.Stream) error { return nil }

func (idle) LogProbs(logp, lse []float64, s *gpu.Stream, temperature float64) error {
	for i := range logp {
		logp[i], lse[i] = -1, 1
	}
	return nil
}

func (idle) Backward(*gpu.Stream, float64, []float64, []float64) error { return nil }

func TestStepAllocatesNothing(t *testing.T) {
	m := newModel(t, ref.Open())
	source := &Packed{Loader: counting(), Context: 16, Micro: 32}
	trainer, err := NewTrainer(m.Device(), idle{m}, CrossEntropy{}, AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Clip: 1}, 64)
	if err != nil {
		t.Fatal(err)
	}
	batches, err := source.Next(120) // the documents' Loader of this test allocates; the real one does not
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() {
		if _, err := trainer.Step(batches, 1e-3); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations in a step", n)
	}
}

func TestPackedCutsAtSegments(t *testing.T) {
	const context, tokens = 12, 100
	cut := func(micro int) (ids, targets []int32) {
		p := &Packed{Loader: counting(), Context: context, Micro: micro}
		for range 5 {
			batches, err := p.Next(tokens)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for i, b := range batches {
				s := &b.Stream
				n += s.Len()
				if s.Len() > micro || s.Starts[0] != 0 || int(s.Starts[s.Segments()]) != s.Len() || s.Positions[0] != 0 {
					t.Errorf("micro-batch %d of at most %d: %d tokens, starts %v, positions %v", i, micro, s.Len(), s.Starts, s.Positions)
				}
				ids, targets = append(ids, s.IDs...), append(targets, s.Targets...)
			}
			if n != tokens {
				t.Errorf("%d tokens in a step of %d", n, tokens)
			}
		}
		return ids, targets
	}
	ids, targets := cut(12)
	for _, micro := range []int{13, 40, 1000} {
		otherIDs, otherTargets := cut(micro)
		if !slices.Equal(ids, otherIDs) || !slices.Equal(targets, otherTargets) {
			t.Errorf("micro-batches of %d are of other data", micro)
		}
	}
}

// tenSteps is testdata/ten_steps.json, which ten_steps.py wrote.
type tenSteps struct {
	Settings struct {
		Peak, Final, Beta1, Beta2, Eps, Clip float64
		Warmup                               int64
		WeightDecay                          float64 `json:"weight_decay"`
		ZLoss                                float64 `json:"z_loss"`
	}
	Steps []struct {
		Documents [][]int32
		Loss, LR  float64
		GradNorm  float64 `json:"grad_norm"`
	}
	Weights map[string][2]float64 // Σw and Σw² of each tensor at the end
}

func TestTenStepsOfPyTorch(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "ten_steps.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want tenSteps
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	m, err := llm.Load(ref.Open(), filepath.Join("testdata", "ten_steps"))
	if err != nil {
		t.Fatal(err)
	}
	loader := &inOrder{}
	for _, s := range want.Steps {
		loader.docs = append(loader.docs, s.Documents...)
	}
	set := want.Settings
	trainer, err := NewTrainer(m.Device(), m, CrossEntropy{ZLoss: set.ZLoss}, AdamW{
		Beta1: set.Beta1, Beta2: set.Beta2, Eps: set.Eps, WeightDecay: set.WeightDecay, Clip: set.Clip,
	}, 40)
	if err != nil {
		t.Fatal(err)
	}
	source := &Packed{Loader: loader, Context: 16, Micro: 20}
	batches := Batches{Tokens: 40, Total: 400}
	schedule := Schedule{Peak: set.Peak, Warmup: set.Warmup, Total: 400, Shape: Cosine, Final: set.Final}
	consumed := int64(0)
	for i, step := range want.Steps {
		size := batches.Size(consumed)
		lr := schedule.At(consumed, consumed+size)
		consumed += size
		micro, err := source.Next(size)
		if err != nil {
			t.Fatal(err)
		}
		r, err := trainer.Step(micro, lr)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "loss", i, r.Loss, step.Loss, 1e-6)
		near(t, "gradient norm", i, r.GradNorm, step.GradNorm, 1e-5)
		near(t, "learning rate", i, lr, step.LR, 1e-12)
	}
	for _, p := range m.Params() {
		var sum, squares float64
		for _, w := range ref.Float64(p.Weight) {
			sum += w
			squares += w * w
		}
		near(t, "Σw of "+p.Name, 10, sum, want.Weights[p.Name][0], 1e-5)
		near(t, "Σw² of "+p.Name, 10, squares, want.Weights[p.Name][1], 1e-5)
	}
}

func near(t *testing.T, what string, step int, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*max(1, math.Abs(want)) {
		t.Errorf("step %d: %s %.10g, PyTorch has %.10g", step+1, what, got, want)
	}
}

// inOrder deals out documents in their order, once.
type inOrder struct{ docs [][]int32 }

func (l *inOrder) Fill(s *gpu.Stream, n, context int) error {
	for s.Len() < n {
		d := l.docs[0]
		l.docs = l.docs[1:]
		s.Append(d, append(slices.Clone(d[1:]), gpu.NoTarget), 0)
	}
	return nil
}

func (l *inOrder) State() ([]byte, error) { return nil, nil }

func (l *inOrder) Restore([]byte) error { return nil }
