package sft

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/gpu/ref"
	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/safetensors"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train/traintest"
)

func ptr[T any](v T) *T { return &v }

// recipe is a block with every default filled in, on dialogues of one and of two questions.
func recipe(t testing.TB) *Config {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	docs := traintest.Documents(0, 48, func(i int) corpus.Document { return traintest.Dialogue(i, 1+i%2) })
	return &Config{
		Model:  traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())),
		Data:   traintest.DocumentSet(t, docs, traintest.Documents(48, 8, func(i int) corpus.Document { return traintest.Dialogue(i, 1) })),
		Epochs: 2, Context: ptr(100), TooLong: "truncate",
		Sample: &finetune.Sample{Prompts: []string{"The wren sees the river?"}, Tokens: 20},
		Training: finetune.Training{
			Optimizer:       finetune.Optimizer{LR: ptr(1e-2), Betas: []float64{0.9, 0.95}, Eps: 1e-8, GradClip: 1},
			Schedule:        finetune.Schedule{Warmup: 0.1, Shape: "cosine", Final: 0.1},
			Batch:           finetune.Batch{Size: 8, MicroTokens: ptr(150)},
			Eval:            finetune.Eval{Every: ptr(int64(30)), Examples: 6},
			CheckpointEvery: 3600,
		},
	}
}

func TestRun(t *testing.T) {
	c := recipe(t)
	files, l, dir := traintest.Whole(t, &Type, c)
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, []string{
		"model/config.json", "model/generation_config.json", "model/model.safetensors", "model/tokenizer.json", "model/tokenizer_config.json",
		"report/accuracy.svg", "report/grad_norm.svg", "report/loss.svg", "report/lr.svg", "report/metrics.jsonl", "report/samples.jsonl", "report/summary.md",
	}) {
		t.Errorf("files %v", got)
	}
	first := map[string]float64{}
	if err := json.Unmarshal([]byte(files["report/metrics.jsonl"][:strings.IndexByte(files["report/metrics.jsonl"], '\n')]), &first); err != nil {
		t.Fatal(err)
	}
	if loss := l.Number(t, "loss"); loss > 0.7*first["loss"] || loss <= 0 {
		t.Errorf("loss %v after %v at the first step", loss, first["loss"])
	}
	if n := l.Number(t, "conversations"); n != 48 {
		t.Errorf("%v conversations", n)
	}
	if first["conversations"] != 8 {
		t.Errorf("the first step consumed %v conversations", first["conversations"])
	}
	if got := strings.Count(files["report/samples.jsonl"], "\n"); got != 3 { // at 32, 64 and 96 conversations
		t.Errorf("%d samples", got)
	}
	// The folder ends its answers where training did.
	config, err := llm.ReadConfig(filepath.Join(dir, "out", "model"))
	if err != nil {
		t.Fatal(err)
	}
	tokenizer := traintest.Tokenizer(t)
	eot, _ := tokenizer.EOT()
	eos, _ := tokenizer.EOS()
	if !slices.Equal(config.EOSTokenIDs, []int32{eot, eos}) {
		t.Errorf("answers end at %v, want %d and %d", config.EOSTokenIDs, eot, eos)
	}
	if !strings.Contains(files["model/tokenizer_config.json"], "chat_template") {
		t.Error("the chat template is not in the folder")
	}
	for _, want := range []string{"training conversations | 48", "held-out conversations | 8", "held-out loss", "Answers at the end"} {
		if !strings.Contains(files["report/summary.md"], want) {
			t.Errorf("the summary lacks %q:\n%s", want, files["report/summary.md"])
		}
	}
}

// TestPitfall01Resume: stopped or killed at several places in two epochs, the bytes are those of a run without a break.
func TestPitfall01Resume(t *testing.T) {
	c := recipe(t)
	want, _, _ := traintest.Whole(t, &Type, c)
	got, l := traintest.Interrupted(t, &Type, c, 3, 4, 5)
	if !strings.Contains(l.Texts(steps.EventLog), "resuming after step") {
		t.Error("it started anew")
	}
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

// TestLoRA: adapters learn, a run that was stopped or killed ends with the bytes of one that was not, checkpoints hold the
// adapters alone, what has none is as it was, and the folder has both the merged model and the adapters.
func TestLoRA(t *testing.T) {
	c := recipe(t)
	c.LoRA = &finetune.LoRA{Rank: 4, Targets: []string{"q_proj", "v_proj", "down_proj"}}
	c.Optimizer.LR = ptr(3e-2)
	want, l, dir := traintest.Whole(t, &Type, c)
	first := map[string]float64{}
	if err := json.Unmarshal([]byte(want["report/metrics.jsonl"][:strings.IndexByte(want["report/metrics.jsonl"], '\n')]), &first); err != nil {
		t.Fatal(err)
	}
	if loss := l.Number(t, "loss"); loss > 0.95*first["loss"] {
		t.Errorf("loss %v after %v at the first step", loss, first["loss"])
	}
	got, _ := traintest.Interrupted(t, &Type, c, 3, 4)
	traintest.Same(t, got, want)
	c.CheckpointEvery = 0
	killed := t.TempDir()
	traintest.Killed(t, &Type, c, killed, traintest.Metric(5))
	var held int64
	err := filepath.WalkDir(filepath.Join(killed, "checkpoints"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "tensors.f32" {
			info, e := d.Info()
			held, err = info.Size(), e
		}
		return err
	})
	config, e := llm.ReadConfig(c.Model.Path)
	if err != nil || e != nil {
		t.Fatal(err, e)
	}
	trained := llm.LoRA{Rank: 4, Targets: c.LoRA.Targets}.Parameters(config)
	if held != 4*3*trained || held > 4*config.Parameters() {
		t.Errorf("a checkpoint holds %d bytes of tensors, the adapters and their moments are %d", held, 4*3*trained)
	}
	if _, err := traintest.Attempt(t, t.Context(), &Type, c, killed, nil); err != nil {
		t.Fatal(err)
	}
	traintest.Same(t, traintest.Outputs(t, killed), want)

	for _, file := range []string{"adapter_config.json", "adapter_model.safetensors"} {
		if want["model/adapter/"+file] == "" {
			t.Errorf("no %s", file)
		}
	}
	read := func(dir, name string) []float32 {
		file, err := safetensors.Open(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		info, _ := file.Info(name)
		values := make([]float32, info.Len())
		if err := file.Read(values, name, 0); err != nil {
			t.Fatal(err)
		}
		return values
	}
	for name, same := range map[string]bool{
		"model.layers.0.self_attn.q_proj.weight": false, "model.layers.1.mlp.down_proj.weight": false,
		"model.layers.0.self_attn.k_proj.weight": true, "model.embed_tokens.weight": true, "model.norm.weight": true,
	} {
		if slices.Equal(read(c.Model.Path, name), read(filepath.Join(dir, "out", "model"), name)) != same {
			t.Errorf("%s is as it was: %v", name, !same)
		}
	}
}

// TestPitfall08AnswersEnd: what has been learned is answered, and the answer ends by itself.
func TestPitfall08AnswersEnd(t *testing.T) {
	c := recipe(t)
	docs := traintest.Documents(0, 16, func(i int) corpus.Document { return traintest.Dialogue(i, 1) })
	c.Data, c.Epochs, c.Context = traintest.DocumentSet(t, docs, nil), 60, nil
	c.Eval, c.Sample = finetune.Eval{Examples: 16}, &finetune.Sample{Tokens: 40}
	for i := range 16 {
		question, _ := traintest.Question(i)
		c.Sample.Prompts = append(c.Sample.Prompts, question)
	}
	c.Eval.Every = ptr(int64(10000))
	files, l, _ := traintest.Whole(t, &Type, c)
	if a := l.Number(t, "accuracy"); a < 0.99 {
		t.Errorf("accuracy %v", a)
	}
	ended, right := 0, 0
	for i, line := range strings.Split(strings.TrimSpace(files["report/samples.jsonl"]), "\n") {
		var s sampling.Sample
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		_, answer := traintest.Question(i)
		if s.Ended {
			ended++
		}
		if s.Text == answer {
			right++
		}
	}
	if ended != 16 || right < 15 {
		t.Errorf("of 16 answers %d end by themselves and %d are right:\n%s", ended, right, files["report/samples.jsonl"])
	}
	if !strings.Contains(l.Texts(steps.EventWarn), "holds no conversations back") {
		t.Error("no warning that the figures are of training dialogues")
	}
}

// TestPitfall09Targets: the targets decode to exactly what the assistant says, and no conversation is without any.
func TestPitfall09Targets(t *testing.T) {
	c := recipe(t)
	c.Context = nil
	base, split := opened(t, c)
	for i := range split.Examples {
		s := split.Examples[i].Segments[0]
		var learned []int32
		for _, target := range s.Targets {
			if target >= 0 {
				learned = append(learned, target)
			}
		}
		var want strings.Builder
		for _, m := range traintest.Dialogue(i, 1+i%2).Messages {
			if m.Role == "assistant" {
				want.WriteString(m.Content + "<|eot_id|>")
			}
		}
		var got strings.Builder
		for _, id := range learned {
			got.Write(base.Tokenizer.Bytes(id))
		}
		if got.String() != want.String() {
			t.Errorf("conversation %d teaches %q, want %q", i, got.String(), want.String())
		}
	}
}

// opened reads the training dialogues of a recipe.
func opened(t *testing.T, c *Config) (*finetune.Base, *finetune.Split) {
	t.Helper()
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Threads: 3}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	base, err := finetune.Open(rt, c.Model, c.ChatTemplate, c.Context)
	if err != nil {
		t.Fatal(err)
	}
	split, err := base.Dialogues(t.Context(), rt, c.Data, corpus.Train, c.TooLong == "truncate")
	if err != nil {
		t.Fatal(err)
	}
	return base, split
}

// TestPitfall07Template: the ids of training are those that a prompt of the saved model has.
func TestPitfall07Template(t *testing.T) {
	c := recipe(t)
	c.ChatTemplate = ptr("{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>' + m.content + '<|eot_id|>' }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>' }}{% endif %}")
	_, _, dir := traintest.Whole(t, &Type, c)
	_, split := opened(t, c)
	tokenizer, err := bpe.Load(filepath.Join(dir, "out", "model"))
	if err != nil {
		t.Fatal(err)
	}
	format, err := chat.NewFormat(tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range split.Examples {
		prompt, err := format.Prompt(traintest.Dialogue(i, 1).Messages[:1])
		if err != nil {
			t.Fatal(err)
		}
		if ids := e.Segments[0].IDs; !slices.Equal(ids[:len(prompt)], prompt) {
			t.Errorf("conversation %d begins with %v, its prompt is %v", i, ids, prompt)
		}
	}
}

// TestPitfall10Dropped: what cannot be trained on is left out, counted by reason, and explained; a run of which nothing
// is left fails.
func TestPitfall10Dropped(t *testing.T) {
	c := recipe(t)
	user := func(text string) corpus.Message { return corpus.Message{Role: "user", Content: text} }
	says := func(text string) corpus.Message { return corpus.Message{Role: "assistant", Content: text} }
	long := strings.Repeat("The old crow sees the cold river. ", 20)
	bad := []corpus.Document{
		{Messages: []corpus.Message{user("The?"), says("The."), user("More?"), says(long)}}, // truncated
		{Messages: []corpus.Message{user(long), says("The.")}},
		{Messages: []corpus.Message{user("The?")}},
		{Messages: []corpus.Message{user("The?"), says(" ")}},
		{Messages: []corpus.Message{user("The?"), says("one"), says("two")}},
		{Messages: []corpus.Message{{Role: "human", Content: "The?"}, says("one")}},
		{Messages: []corpus.Message{user("The<|eot_id|>?"), says("one")}},
	}
	docs := append(traintest.Documents(0, 8, func(i int) corpus.Document { return traintest.Dialogue(i, 1) }), bad...)
	c.Data, c.Epochs = traintest.DocumentSet(t, docs, nil), 1
	files, l, _ := traintest.Whole(t, &Type, c)
	want := map[string]any{
		chat.TooLong: 1.0, chat.NoAnswer: 2.0, chat.Roles: 2.0, chat.ControlTokens: 1.0, chat.Empty: 0.0, chat.Refused: 0.0, finetune.Equal: 0.0,
	}
	if got := l.Values()["dropped"].(map[string]any); !maps.Equal(got, want) {
		t.Errorf("dropped %v, want %v", got, want)
	}
	if l.Number(t, "conversations") != 9 || l.Number(t, "truncated") != 1 {
		t.Errorf("%v", l.Values())
	}
	if w := l.Texts(steps.EventWarn); !strings.Contains(w, "6 of 15 records are dropped") || !strings.Contains(w, "record 10: its first answer ends at token") || !strings.Contains(w, "lose turns") {
		t.Errorf("warnings: %s", w)
	}
	if !strings.Contains(files["report/summary.md"], "9, 1 of them truncated; 6 dropped: 2 roles, 2 no_answer, 1 control_tokens, 1 too_long") {
		t.Errorf("summary: %s", files["report/summary.md"])
	}
	c.TooLong = "drop"
	if _, l, _ = traintest.Whole(t, &Type, c); l.Number(t, "truncated") != 0 || l.Number(t, "conversations") != 8 {
		t.Errorf("with too_long = drop: %v", l.Values())
	}
	c.Data = traintest.DocumentSet(t, bad[1:], nil)
	if _, err := traintest.Attempt(t, t.Context(), &Type, c, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "data: none of the 6 records can be trained on") {
		t.Errorf("nothing is left: %v", err)
	}
}

// TestPitfall11Packing: a packed conversation has the log-probabilities that it has alone.
func TestPitfall11Packing(t *testing.T) {
	c := recipe(t)
	_, split := opened(t, c)
	m, err := llm.Load(ref.Open(), c.Model.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Inference(400); err != nil {
		t.Fatal(err)
	}
	read := func(chosen ...int) []float64 {
		batches := finetune.Pack(split.Examples, chosen, 400)
		if len(batches) != 1 {
			t.Fatalf("%d batches", len(batches))
		}
		logp, err := finetune.LogProbs(m, &batches[0].Stream)
		if err != nil {
			t.Fatal(err)
		}
		return logp
	}
	alone, packed := read(2), read(0, 1, 2, 3)
	at := split.Examples[0].Len() + split.Examples[1].Len()
	if !slices.Equal(alone, packed[at:at+len(alone)]) {
		t.Error("what is packed before a conversation changes its log-probabilities")
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"plain texts":         {func(c *Config) { c.Data = traintest.Dataset(t, []string{"text"}, nil) }, "data: the dataset holds plain texts: dialogues are wanted"},
		"preferences":         {func(c *Config) { c.Data = traintest.DocumentSet(t, []corpus.Document{traintest.Preference(1)}, nil) }, "data: the dataset holds preferences"},
		"a broken template":   {func(c *Config) { c.ChatTemplate = ptr("{% for %}") }, "chat_template: the chat template is not Jinja"},
		"no end token":        {func(c *Config) { c.ChatTemplate = ptr("{% for m in messages %}{{ m.content }}{% endfor %}") }, "no control token after an answer"},
		"missing tokens":      {func(c *Config) { c.ChatTemplate = ptr("chatml") }, "special tokens of the chat format before the model"},
		"betas":               {func(c *Config) { c.Optimizer.Betas = []float64{0.9, 1} }, "optimizer.betas: betas are"},
		"a small micro-batch": {func(c *Config) { c.Batch.MicroTokens = ptr(10) }, "batch.micro_tokens: micro-batches of 10 tokens cannot hold"},
		"alpha":               {func(c *Config) { c.LoRA = &finetune.LoRA{Rank: 1, Alpha: ptr(0.0), Targets: []string{"q_proj"}} }, "lora.alpha: alpha = 0 takes"},
		"a target twice":      {func(c *Config) { c.LoRA = &finetune.LoRA{Rank: 1, Targets: []string{"q_proj", "q_proj"}} }, "lora.targets: q_proj is there twice"},
		"an empty question":   {func(c *Config) { c.Sample.Prompts[0] = "<|eot_id|>" }, "sample.prompts[0]"},
		"divergence":          {func(c *Config) { c.Optimizer.LR, c.Optimizer.GradClip, c.Schedule.Warmup = ptr(1e30), 0, 0 }, "optimizer.lr: training diverged"},
		"no tokenizer": {func(c *Config) {
			c.Model = traintest.Model(t, nil, traintest.Config(400))
		}, "model: the model's tokenizer"},
		"no template": {func(c *Config) {
			if err := os.Remove(filepath.Join(c.Model.Path, "tokenizer_config.json")); err != nil {
				t.Fatal(err)
			}
		}, "model: the model's tokenizer has no chat template"},
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
