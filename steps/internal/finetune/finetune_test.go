package finetune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"athanor/gpu/ref"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// TestPitfall02Epochs: every epoch has each conversation once, in an order of its own, wherever it is resumed.
func TestPitfall02Epochs(t *testing.T) {
	var examples []Example
	for i := range 10 {
		examples = append(examples, Example{Segments: []Segment{{IDs: []int32{int32(i), 1}, Targets: []int32{1, -1}}}})
	}
	source := &Source{Examples: examples, Micro: 7, Seed: 3}
	var all []int
	take := func(n int64) {
		batches, err := source.Next(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			if b.Stream.Len() > 7 || b.Stream.Segments() != len(b.Extra.([]int)) {
				t.Errorf("%d tokens in %d segments for %v", b.Stream.Len(), b.Stream.Segments(), b.Extra)
			}
			for segment, i := range b.Extra.([]int) {
				if b.Stream.IDs[b.Stream.Starts[segment]] != int32(i) {
					t.Errorf("segment %d is not example %d", segment, i)
				}
			}
			all = append(all, b.Extra.([]int)...)
		}
	}
	take(7)
	take(6)
	state, err := source.State()
	if err != nil {
		t.Fatal(err)
	}
	source = &Source{Examples: examples, Micro: 7, Seed: 3}
	if err := source.Restore(state); err != nil {
		t.Fatal(err)
	}
	take(17)
	again := &Source{Examples: examples, Micro: 100, Seed: 3}
	batches, _ := again.Next(30)
	var want []int
	for _, b := range batches {
		want = append(want, b.Extra.([]int)...)
	}
	if !slices.Equal(all, want) {
		t.Errorf("the order %v, without a break %v", all, want)
	}
	seen := map[string]bool{}
	for epoch := range 3 {
		order := all[10*epoch : 10*epoch+10]
		seen[fmt.Sprint(order)] = true
		if sorted := slices.Sorted(slices.Values(order)); !slices.Equal(sorted, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("epoch %d has %v", epoch, order)
		}
	}
	if len(seen) != 3 {
		t.Errorf("two of three epochs have one order: %v", all)
	}
}

// TestPredict: loss and accuracy are those of the logits.
func TestPredict(t *testing.T) {
	c := llm.Config{
		VocabSize: 7, HiddenSize: 8, IntermediateSize: 8, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 1, HeadDim: 4,
		RMSNormEps: 1e-5, RopeTheta: 100, MaxPositionEmbeddings: 200, InitializerRange: 0.5,
	}
	m, err := llm.New(ref.Open(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := errors.Join(m.Init(1), m.Inference(200)); err != nil {
		t.Fatal(err)
	}
	var s Segment
	for i := range 150 { // more rows than are read at once
		s.IDs = append(s.IDs, int32(i*i%7))
		s.Targets = append(s.Targets, int32(i%8)-1) // some have none
	}
	batches := Pack([]Example{{[]Segment{s}}}, []int{0}, 200)
	got, err := Predict(t.Context(), m, batches)
	if err != nil {
		t.Fatal(err)
	}
	logits, rows := make([]float32, 150*7), make([]int, 150)
	for i := range rows {
		rows[i] = i
	}
	if err := errors.Join(m.Forward(&batches[0].Stream), m.Logits(logits, rows...)); err != nil {
		t.Fatal(err)
	}
	nats, right, all := 0.0, 0.0, 0.0
	for i, target := range s.Targets {
		if target < 0 {
			continue
		}
		row := logits[i*7 : i*7+7]
		sum := 0.0
		for _, l := range row {
			sum += math.Exp(float64(l))
		}
		nats += math.Log(sum) - float64(row[target])
		right += Share(row[target] == slices.Max(row))
		all++
	}
	if got.Targets != int(all) || math.Abs(got.Loss-nats/all) > 1e-5 || got.Accuracy != right/all {
		t.Errorf("%+v, want a loss of %v and an accuracy of %v over %v targets", got, nats/all, right/all, all)
	}
}

// TestObserverDiverged: a figure that is not a number stops the run and does not get into the report.
func TestObserverDiverged(t *testing.T) {
	o := &observer{measure: func(context.Context) (map[string]float64, error) {
		return map[string]float64{"eval_loss": math.NaN()}, nil
	}}
	if _, err := o.Observe(t.Context(), 1, 1); !errors.As(err, new(*train.DivergedError)) {
		t.Errorf("%v", err)
	}
}

func TestEvenly(t *testing.T) {
	for _, c := range []struct {
		n, most int
		want    []int
	}{{5, 9, []int{0, 1, 2, 3, 4}}, {10, 4, []int{0, 2, 5, 7}}, {0, 3, []int{}}} {
		if got := Evenly(c.n, c.most); !slices.Equal(got, c.want) {
			t.Errorf("%d of %d: %v, want %v", c.most, c.n, got, c.want)
		}
	}
}

func TestSoftplus(t *testing.T) {
	for _, x := range []float64{-800, -3, 0, 0.5, 800} {
		if got, want := Softplus(x)-Softplus(-x), x; math.Abs(got-want) > 1e-12*max(1, math.Abs(x)) {
			t.Errorf("softplus(%v) − softplus(−%v) is %v", x, x, got)
		}
		if got := Sigmoid(x) + Sigmoid(-x); math.Abs(got-1) > 1e-15 {
			t.Errorf("σ(%v) + σ(−%v) is %v", x, x, got)
		}
	}
	if got := Softplus(1); math.Abs(got-math.Log(1+math.E)) > 1e-15 {
		t.Errorf("softplus(1) is %v", got)
	}
}
