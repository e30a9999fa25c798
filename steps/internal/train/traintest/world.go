// Package traintest makes what the tests of step types train on: a little language with a grammar, a tokenizer for it,
// sets of its documents, and a model that is small enough to learn it in a second.
package traintest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/tokens"
)

// Texts returns n documents of the language, the same for the same seed.
func Texts(n int, seed uint64) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for range 2 + r.IntN(9) {
			fmt.Fprintf(&b, "The %s %s %s the %s %s.\n", pick("old", "grey", "small", "quiet"), pick("furnace", "wren", "miller", "crow"),
				pick("sees", "feeds", "follows", "warms"), pick("long", "cold", "first"), pick("river", "house", "night", "stone"))
		}
		texts[i] = b.String()
	}
	return texts
}

// Tokenizer trains a tokenizer of 320 tokens on the language.
func Tokenizer(t testing.TB) *bpe.Tokenizer {
	t.Helper()
	tokenizer, _, err := bpe.Train(context.Background(), func(yield func(string, error) bool) {
		for _, text := range Texts(50, 0) {
			if !yield(text, nil) {
				return
			}
		}
	}, bpe.TrainOptions{VocabSize: 320, Special: "llama3"})
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

// A Part is a part of a mixture.
type Part struct {
	Name           string
	Weight         float64
	MaxEpochs      int // 0: no limit
	Train, Holdout []string
}

// Tokens writes a mixture and returns it as an artifact.
func Tokens(t testing.TB, tokenizer *bpe.Tokenizer, parts ...Part) steps.Artifact {
	t.Helper()
	dir := t.TempDir()
	bos, _ := tokenizer.BOS()
	eos, _ := tokenizer.EOS()
	m := tokens.Manifest{Tokenizer: tokenizer.Digest(), VocabSize: tokenizer.VocabSize(), BOS: bos, EOS: eos}
	for _, p := range parts {
		part := tokens.Part{Name: p.Name, Weight: p.Weight}
		if p.MaxEpochs > 0 {
			part.MaxEpochs = &p.MaxEpochs
		}
		w, err := tokens.CreatePart(dir, part, tokenizer.VocabSize())
		check(t, err)
		for _, text := range p.Train {
			check(t, w.Train(Encode(tokenizer, text), len(text)))
		}
		for _, text := range p.Holdout {
			check(t, w.Holdout(Encode(tokenizer, text), len(text)))
		}
		part, err = w.Close()
		check(t, err)
		m.Parts = append(m.Parts, part)
	}
	check(t, os.Mkdir(tokens.TokenizerDir(dir), 0o777))
	check(t, tokenizer.Save(tokens.TokenizerDir(dir)))
	check(t, tokens.WriteManifest(dir, m))
	return steps.Artifact{Kind: "tokens", Digest: "tokens", Path: dir}
}

// Encode turns a text into a document: BOS, its tokens, EOS.
func Encode(tokenizer *bpe.Tokenizer, text string) []int32 {
	bos, _ := tokenizer.BOS()
	eos, _ := tokenizer.EOS()
	return slices.Concat([]int32{bos}, tokenizer.Encode(text), []int32{eos})
}

// Dataset writes a dataset of texts and returns it as an artifact.
func Dataset(t testing.TB, train, holdout []string) steps.Artifact {
	t.Helper()
	dir := t.TempDir()
	w := corpus.Create(dir)
	for split, texts := range map[string][]string{corpus.Train: train, corpus.Holdout: holdout} {
		for _, text := range texts {
			check(t, w.Write(split, &corpus.Document{Text: text}))
		}
	}
	check(t, w.Close(&corpus.Stats{}))
	return steps.Artifact{Kind: "dataset", Digest: "dataset", Path: dir}
}

// Config is the shape of the model.
func Config(vocab int) llm.Config {
	return llm.Config{
		VocabSize: vocab, HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		HeadDim: 8, RMSNormEps: 1e-5, RopeTheta: 10000, MaxPositionEmbeddings: 128, InitializerRange: 0.05,
	}
}

// Model writes a model with initial weights and the tokenizer, and returns it as an artifact.
func Model(t testing.TB, tokenizer *bpe.Tokenizer, c llm.Config) steps.Artifact {
	t.Helper()
	dir := t.TempDir()
	check(t, llm.WriteInitial(context.Background(), dir, c, 1))
	if tokenizer != nil {
		check(t, tokenizer.Save(dir))
	}
	return steps.Artifact{Kind: "model", Digest: "model", Path: dir}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
