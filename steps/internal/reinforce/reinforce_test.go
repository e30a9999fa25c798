package reinforce

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
	"athanor/steps/internal/train/traintest"
)

// batch is two answers behind prompts, with random numbers.
func batch() *train.Batch {
	random := rand.New(rand.NewPCG(1, 2))
	some := func(n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = random.NormFloat64()
		}
		return out
	}
	prompts := []finetune.Prompt{{IDs: []int32{1, 2, 3}}, {IDs: []int32{4}}}
	var rollouts []Rollout
	for i, n := range []int{5, 7} {
		r := Rollout{Prompt: i, Ref: some(n), Values: some(n), Advantages: some(n), Returns: some(n)}
		r.IDs, r.Logp = make([]int32, n), some(n)
		for at := range r.Logp {
			r.Logp[at] = -math.Abs(r.Logp[at])
		}
		rollouts = append(rollouts, r)
	}
	return pack(prompts, rollouts, []int{0, 1}, 100)[0]
}

// TestGradients: the derivatives that the objectives state are central differences.
func TestGradients(t *testing.T) {
	for name, o := range map[string]train.Objective{
		"ppo":    &Clipped{Low: 0.2, High: 0.2},
		"grpo":   &Clipped{Low: 0.2, High: 0.28, KL: 0.3},
		"critic": &Value{Clip: 0.2, Coefficient: 0.1, Shift: 0.4},
	} {
		traintest.CheckObjective(t, name, o, batch())
	}
}

// TestPitfall13Sampler: what is trained on are the sampled tokens, and at the temperature of sampling the trainer gives
// them the log-probabilities of the sampler; at another it does not.
func TestPitfall13Sampler(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	model := traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize()))
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Threads: 2}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	base, err := finetune.Open(rt, model, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	data := traintest.DocumentSet(t, traintest.Documents(0, 12, traintest.Ask), nil)
	prompts, _, err := base.Prompts(t.Context(), rt, data, corpus.Train, nil, 20)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := llm.Load(dev, model.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Inference(300); err != nil {
		t.Fatal(err)
	}
	const temperature = 0.6
	answers, err := base.Draw(t.Context(), m, prompts, llm.Sampling{MaxTokens: 20, Temperature: temperature, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	var rollouts []Rollout
	for i, a := range answers {
		rollouts = append(rollouts, Rollout{Answer: a, Prompt: i})
	}
	apart := func(temperature float64) (most float64) {
		logp, err := read(t.Context(), m, prompts, rollouts, 150, temperature)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rollouts {
			for n, l := range logp[i] {
				most = max(most, math.Abs(l-rollouts[i].Logp[n]))
			}
		}
		return most
	}
	if gap := apart(temperature); gap > 1e-4 {
		t.Errorf("sampler and trainer are %v apart", gap)
	}
	if gap := apart(1); gap < 1e-2 {
		t.Errorf("at another temperature they are %v apart alone: the test cannot tell", gap)
	}
	bos, _ := tokenizer.BOS()
	for _, b := range pack(prompts, rollouts, []int{3, 0, 7}, 300) {
		for segment, i := range []int{3, 0, 7} {
			from, to := b.Stream.Starts[segment], b.Stream.Starts[segment+1]
			var trained []int32
			for _, target := range b.Stream.Targets[from:to] {
				if target != gpu.NoTarget {
					trained = append(trained, target)
				}
			}
			if !slices.Equal(trained, rollouts[i].IDs) {
				t.Errorf("sampled %v, trained %v", rollouts[i].IDs, trained)
			}
			seen := 0 // pitfall 6
			for _, id := range b.Stream.IDs[from:to] {
				if id == bos {
					seen++
				}
			}
			if answer := rollouts[i].IDs; seen != 1 && !slices.Contains(answer, bos) {
				t.Errorf("%d beginnings of a text in %v", seen, b.Stream.IDs[from:to])
			}
		}
	}
}

// TestPitfall04Accumulation: a batch in one piece and in pieces has one gradient: the loss is a mean over all its tokens.
func TestPitfall04Accumulation(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	model := traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize()))
	norm := func(micro int) float64 {
		dev, err := cpu.Open(2)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		m, err := llm.Load(dev, model.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		o := &Clipped{Low: 0.2, High: 0.2}
		tr, err := train.NewTrainer(dev, m, o, train.AdamW{Beta1: 0.9, Beta2: 0.99, Eps: 1e-5}, 100)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		prompts := []finetune.Prompt{{IDs: []int32{1, 2, 3}}}
		var rollouts []Rollout
		for i, n := range []int{2, 9, 5, 1} {
			r := Rollout{Advantages: slices.Repeat([]float64{float64(i) - 1.2}, n)}
			r.IDs, r.Logp = slices.Repeat([]int32{int32(10 + i)}, n), slices.Repeat([]float64{-5.7}, n)
			rollouts = append(rollouts, r)
		}
		r, err := tr.Step(pack(prompts, rollouts, []int{0, 1, 2, 3}, micro), 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		return r.GradNorm
	}
	if whole, pieces := norm(100), norm(11); math.Abs(whole-pieces) > 1e-5*whole {
		t.Errorf("the norm of the gradient is %v, in pieces %v", whole, pieces)
	}
}

// TestPitfall02Prompts: every prompt is drawn once in each epoch, in an order of its own, whatever the iteration that asks.
func TestPitfall02Prompts(t *testing.T) {
	var all []int
	for iteration := range 6 {
		all = append(all, chosen(10, 5, iteration, 3)...)
	}
	if again := chosen(10, 30, 0, 3); !slices.Equal(all, again) {
		t.Errorf("%v in six iterations, %v in one", all, again)
	}
	for epoch := range 3 {
		if order := slices.Clone(all[10*epoch : 10*epoch+10]); epoch > 0 && slices.Equal(order, all[:10]) {
			t.Error("two epochs have one order")
		} else if slices.Sort(order); !slices.Equal(order, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("epoch %d has %v", epoch, order)
		}
	}
}
