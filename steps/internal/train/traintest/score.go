package traintest

import (
	"testing"

	"athanor/gpu/ref"
	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/llm"
)

// ScoreModel turns a model into a reward model with an initial head and returns it as an artifact.
func ScoreModel(t testing.TB, model steps.Artifact, shift float64) steps.Artifact {
	t.Helper()
	dev := ref.Open()
	m, err := llm.LoadScore(dev, model.Path, 3)
	check(t, err)
	defer m.Close()
	m.Config.ScoreShift = shift
	dir := t.TempDir()
	check(t, m.Save(dir))
	check(t, llm.CopyTokenizer(dir, model.Path))
	return steps.Artifact{Kind: "model", Digest: "reward", Path: dir}
}

// Ask is question i, without an answer.
func Ask(i int) corpus.Document {
	question, _ := Question(i)
	return corpus.Document{Prompt: question}
}
