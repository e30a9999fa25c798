package traintest

import (
	"fmt"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// Question returns a question of the little language and its one right answer; they repeat after 64.
func Question(i int) (question, answer string) {
	who, where := i%8, i/8%8
	animals := []string{"furnace", "wren", "miller", "crow", "old crow", "grey wren", "small miller", "quiet furnace"}
	places := []string{"river", "house", "night", "stone", "cold river", "first house", "long night", "cold stone"}
	return fmt.Sprintf("The %s sees the %s?", animals[who], places[where]), fmt.Sprintf("The %s warms the %s.", places[where], animals[who])
}

// Dialogue is n questions with their answers, from number i on.
func Dialogue(i, n int) corpus.Document {
	var d corpus.Document
	for ; n > 0; n-- {
		question, answer := Question(i)
		d.Messages = append(d.Messages, corpus.Message{Role: "user", Content: question}, corpus.Message{Role: "assistant", Content: answer})
		i++
	}
	return d
}

// Preference prefers the right answer to question i to that of another.
func Preference(i int) corpus.Document {
	question, chosen := Question(i)
	_, rejected := Question(i*5 + 9)
	return corpus.Document{Prompt: question, Chosen: chosen, Rejected: rejected}
}

// Documents returns n documents, numbered from first on.
func Documents(first, n int, document func(i int) corpus.Document) []corpus.Document {
	docs := make([]corpus.Document, n)
	for i := range docs {
		docs[i] = document(first + i)
	}
	return docs
}

// DocumentSet writes a dataset of any documents and returns it as an artifact.
func DocumentSet(t testing.TB, train, holdout []corpus.Document) steps.Artifact {
	t.Helper()
	dir := t.TempDir()
	w := corpus.Create(dir)
	for _, split := range []struct {
		name string
		docs []corpus.Document
	}{{corpus.Train, train}, {corpus.Holdout, holdout}} {
		for i := range split.docs {
			check(t, w.Write(split.name, &split.docs[i]))
		}
	}
	check(t, w.Close(&corpus.Stats{}))
	return steps.Artifact{Kind: "dataset", Digest: "dataset", Path: dir}
}

// Metric picks the event of the n-th figures that an attempt records.
func Metric(n int) func(steps.Event) bool {
	seen := 0
	return func(e steps.Event) bool {
		if e.Kind == steps.EventMetric {
			seen++
		}
		return e.Kind == steps.EventMetric && seen == n
	}
}
