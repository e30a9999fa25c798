package rewardmodel

import (
	"encoding/json"
	"maps"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"athanor/gpu/cpu"
	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
	"athanor/steps/internal/train/traintest"
)

func ptr[T any](v T) *T { return &v }

// rude prefers the answer to that with another ending: what the tiny model can learn.
func rude(i int) corpus.Document {
	question, answer := traintest.Question(i)
	return corpus.Document{Prompt: question, Chosen: answer, Rejected: strings.TrimSuffix(answer, ".") + ", crow!"}
}

// recipe is a block with every default filled in.
func recipe(t testing.TB) *Config {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	return &Config{
		Model:  traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())),
		Data:   traintest.DocumentSet(t, traintest.Documents(0, 40, rude), traintest.Documents(40, 20, rude)),
		Epochs: 2, Centring: 0.01,
		Training: finetune.Training{
			Optimizer:       finetune.Optimizer{LR: ptr(3e-3), Betas: []float64{0.9, 0.95}, Eps: 1e-8, GradClip: 1},
			Schedule:        finetune.Schedule{Warmup: 0.1, Shape: "cosine", Final: 0.1},
			Batch:           finetune.Batch{Size: 8, MicroTokens: ptr(200)},
			Eval:            finetune.Eval{Every: ptr(int64(30)), Examples: 20},
			CheckpointEvery: 3600,
		},
	}
}

func pair(t testing.TB) *train.Batch {
	t.Helper()
	examples := finetune.Last([]finetune.Example{
		{Segments: []finetune.Segment{{IDs: []int32{1, 2, 3}}, {IDs: []int32{1, 2}}}},
		{Segments: []finetune.Segment{{IDs: []int32{4}}, {IDs: []int32{5, 6, 7, 8}}}},
	})
	return finetune.Pack(examples, []int{0, 1}, 100)[0]
}

func TestObjective(t *testing.T) {
	b := pair(t)
	for name, o := range map[string]*bradleyTerry{
		"plain": {}, "margin": {margin: 0.7}, "centring": {centring: 0.3}, "both": {margin: 0.2, centring: 0.01},
	} {
		traintest.CheckObjective(t, name, o, b)
	}
	// By hand: scores 2 and 0.5, then −1 and 1.
	h := &train.Head{Logp: []float64{0, 0, 2, 0, 0.5, -1, 0, 0, 0, 1}, DLogp: make([]float64, 10), DLSE: make([]float64, 10)}
	o := &bradleyTerry{margin: 0.5, centring: 0.1}
	want := -math.Log(1/(1+math.Exp(-1))) - math.Log(1/(1+math.Exp(2.5))) + 0.1*2.5*2.5
	if got := o.Loss(b, h); math.Abs(got-want) > 1e-12 {
		t.Errorf("loss %v, want %v", got, want)
	}
	f := o.Figures()
	if f["accuracy"] != 0.5 || f["margin"] != -0.25 || f["chosen_score"] != 0.5 || f["rejected_score"] != 0.75 {
		t.Errorf("figures %v", f)
	}
	if o.Units(b) != 2 || len(o.Figures()) != 0 {
		t.Error("units, or figures that were taken before")
	}
	if huge := (&bradleyTerry{}).Loss(b, &train.Head{Logp: []float64{0, 0, -1e4, 0, 1e4, 0, 0, 0, 0, 0}, DLogp: make([]float64, 10)}); math.Abs(huge-2e4-math.Ln2) > 1e-6 {
		t.Errorf("a loss of %v where scores are far apart", huge)
	}
}

func TestCalibration(t *testing.T) {
	even := math.Log(3) // a lead that means a probability of 0.75
	c := calibrate([]verdict{{even, 0}, {even, 0}, {0, even}, {even, 0}})
	if len(c.confidence) != 1 || math.Abs(c.confidence[0]-0.75) > 1e-12 || c.accuracy[0] != 0.75 || c.err > 1e-12 {
		t.Errorf("three of four right at a confidence of 0.75: %+v", c)
	}
	if c := calibrate([]verdict{{0, 40}}); math.Abs(c.err-1) > 1e-9 {
		t.Errorf("sure and wrong: %+v", c)
	}
}

// TestRun: the model tells the held-out pairs apart, and its references have a mean reward of 0.
func TestRun(t *testing.T) {
	c := recipe(t)
	files, l, dir := traintest.Whole(t, &Type, c)
	if a := l.Number(t, "accuracy"); a < 0.95 {
		t.Errorf("accuracy %v", a)
	}
	for _, name := range []string{"report/calibration.svg", "report/accuracy.svg", "report/loss.svg", "report/summary.md", "model/tokenizer.json"} {
		if files[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	// As saved: the scores of the chosen answers less the shift have mean 0, and those of the rejected are below.
	dev, err := cpu.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := llm.LoadScore(dev, filepath.Join(dir, "out", "model"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Config.ScoreShift != l.Number(t, "shift") || m.Config.PadTokenID == nil {
		t.Errorf("shift %v of %v, padding %v", m.Config.ScoreShift, l.Number(t, "shift"), m.Config.PadTokenID)
	}
	var tr training
	rt := runtime(t, c)
	if err := tr.open(t.Context(), rt); err != nil {
		t.Fatal(err)
	}
	if tr.Model = m; m.Inference(tr.Micro) != nil {
		t.Fatal("no memory")
	}
	tr.config.Eval.Examples = 40
	verdicts, err := tr.judge(t.Context(), tr.Data.Examples)
	if err != nil {
		t.Fatal(err)
	}
	chosen, rejected := 0.0, 0.0
	for _, pick := range finetune.Evenly(40, 20) {
		chosen += (verdicts[pick].chosen - m.Config.ScoreShift) / 20
		rejected += (verdicts[pick].rejected - m.Config.ScoreShift) / 20
	}
	if math.Abs(chosen) > 1e-5 || rejected > -0.5 {
		t.Errorf("mean reward of the chosen answers %v, of the rejected %v", chosen, rejected)
	}
}

func runtime(t *testing.T, c *Config) *steps.Runtime {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Config: data, Device: "cpu"}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	return rt
}

// TestPitfall01Resume: stopped or killed at several places, the bytes are those of a run without a break.
func TestPitfall01Resume(t *testing.T) {
	c := recipe(t)
	want, _, _ := traintest.Whole(t, &Type, c)
	got, _ := traintest.Interrupted(t, &Type, c, 2, 3, 4)
	traintest.Same(t, got, want)
	c.CheckpointEvery = 0
	dir := t.TempDir()
	for _, n := range []int{4, 3} {
		traintest.Killed(t, &Type, c, dir, traintest.Metric(n))
	}
	if _, err := traintest.Attempt(t, t.Context(), &Type, c, dir, nil); err != nil {
		t.Fatal(err)
	}
	traintest.Same(t, traintest.Outputs(t, dir), want)
}

// TestLoRA: adapters and the scalar head learn to tell the answers apart, and the merged model is what the step measured.
func TestLoRA(t *testing.T) {
	c := recipe(t)
	c.LoRA, c.Optimizer.LR, c.Epochs = &finetune.LoRA{Rank: 8, Targets: llm.LoRATargets}, ptr(1e-2), 4
	files, l, dir := traintest.Whole(t, &Type, c)
	if a := l.Number(t, "accuracy"); a < 0.95 {
		t.Errorf("accuracy %v", a)
	}
	if !strings.Contains(files["model/adapter/adapter_config.json"], `"SEQ_CLS"`) || !strings.Contains(files["model/adapter/adapter_model.safetensors"], "base_model.model.score.weight") {
		t.Error("the scalar head is not with the adapters")
	}
	c.Model.Path, c.LoRA, c.Optimizer.LR = filepath.Join(dir, "out", "model"), nil, ptr(0.0)
	_, again, _ := traintest.Whole(t, &Type, c)
	if a, b := l.Number(t, "loss"), again.Number(t, "loss"); math.Abs(a-b) > 1e-5 {
		t.Errorf("loss %v, of the merged model %v", a, b)
	}
}

// TestPitfall06OneBOS: both conversations of a pair begin with one beginning-of-text token and have no other.
func TestPitfall06OneBOS(t *testing.T) {
	var tr training
	if err := tr.open(t.Context(), runtime(t, recipe(t))); err != nil {
		t.Fatal(err)
	}
	bos, _ := tr.Base.Tokenizer.BOS()
	for _, e := range tr.Data.Examples {
		for _, s := range e.Segments {
			count := 0
			for _, id := range s.IDs {
				if id == bos {
					count++
				}
			}
			if count != 1 || s.IDs[0] != bos {
				t.Errorf("%v", s.IDs)
			}
		}
	}
}

// TestReferences: answers of reference of one's own choice decide the shift.
func TestReferences(t *testing.T) {
	c := recipe(t)
	_, l, _ := traintest.Whole(t, &Type, c)
	c.References = traintest.DocumentSet(t, traintest.Documents(0, 20, func(i int) corpus.Document {
		d := rude(i)
		return corpus.Document{Messages: []corpus.Message{{Role: "user", Content: d.Prompt}, {Role: "assistant", Content: d.Rejected}}}
	}), nil)
	_, low, _ := traintest.Whole(t, &Type, c)
	if low.Number(t, "shift") > l.Number(t, "shift")-0.5 {
		t.Errorf("the shift is %v with worse references, %v with better ones", low.Number(t, "shift"), l.Number(t, "shift"))
	}
}

// TestPairs: dialogues as prompts, and what cannot be learned from.
func TestPairs(t *testing.T) {
	c := recipe(t)
	dialogue := func(i int) corpus.Document {
		d := rude(i + 1)
		return corpus.Document{Messages: append(traintest.Dialogue(i, 1).Messages, corpus.Message{Role: "user", Content: d.Prompt}), Chosen: d.Chosen, Rejected: d.Rejected}
	}
	c.Data, c.Batch.MicroTokens = traintest.DocumentSet(t, traintest.Documents(0, 8, dialogue), nil), nil
	_, l, _ := traintest.Whole(t, &Type, c)
	if l.Number(t, "pairs") != 8 || !strings.Contains(l.Texts(steps.EventWarn), "holds no pairs back") {
		t.Errorf("%v", l.Values())
	}
	long := strings.Repeat("The old crow sees the cold river. ", 20)
	bad := []corpus.Document{
		{Prompt: "The?", Chosen: "a", Rejected: " a"}, // equal once the template has stripped them
		{Prompt: "The?", Chosen: "a", Rejected: " "},
		{Prompt: "The?", Chosen: "a", Rejected: long},
		{Prompt: "The?", Chosen: "a<|eot_id|>", Rejected: "b"},
		{Prompt: " ", Chosen: "a", Rejected: "b"},
	}
	c.Data = traintest.DocumentSet(t, append(traintest.Documents(0, 8, rude), bad...), nil)
	_, l, _ = traintest.Whole(t, &Type, c)
	want := map[string]any{
		chat.TooLong: 1.0, chat.NoAnswer: 1.0, chat.Roles: 0.0, chat.ControlTokens: 1.0, chat.Empty: 1.0, chat.Refused: 0.0, finetune.Equal: 1.0,
	}
	if got := l.Values()["dropped"].(map[string]any); !maps.Equal(got, want) || l.Number(t, "pairs") != 8 {
		t.Errorf("dropped %v, want %v", got, want)
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"dialogues": {func(c *Config) {
			c.Data = traintest.DocumentSet(t, traintest.Documents(0, 3, func(i int) corpus.Document { return traintest.Dialogue(i, 1) }), nil)
		}, "data: the dataset holds dialogues: preferences are wanted"},
		"references that are no dialogues": {func(c *Config) { c.References = c.Data }, "references: the dataset holds preferences: dialogues are wanted"},
		"references without an answer": {func(c *Config) {
			c.References = traintest.DocumentSet(t, traintest.Documents(0, 3, func(i int) corpus.Document {
				return corpus.Document{Messages: []corpus.Message{{Role: "user", Content: "The?"}}}
			}), nil)
		}, "references: none of the 3 records can be scored: 3 no_answer"},
		"nothing left": {func(c *Config) { c.Context = ptr(5) }, "data: none of the 40 records can be trained on: 40 too_long"},
		"divergence":   {func(c *Config) { c.Optimizer.LR, c.Optimizer.GradClip, c.Schedule.Warmup = ptr(1e30), 0, 0 }, "optimizer.lr: training diverged"},
	} {
		t.Run(name, func(t *testing.T) {
			config := recipe(t)
			c.change(config)
			_, err := traintest.Attempt(t, t.Context(), &Type, config, t.TempDir(), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
