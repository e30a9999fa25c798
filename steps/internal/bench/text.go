package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"athanor/steps/internal/bpe"
)

// writeGoSources writes the toolchain's own packages, tests left out, to a file with one JSON string per line, until
// limit bytes of text are in it, and returns how many there are.
func writeGoSources(ctx context.Context, path string, limit int) (written int, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return 0, fmt.Errorf("the text to tokenize is the Go toolchain's: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buffered := bufio.NewWriter(f)
	to := json.NewEncoder(buffered)
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), "src"), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		case written >= limit:
			return fs.SkipAll
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		written += len(source)
		return to.Encode(string(source))
	})
	return written, errors.Join(err, buffered.Flush())
}

// readTexts reads such a file.
func readTexts(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var texts []string
	for from := json.NewDecoder(bufio.NewReader(f)); ; {
		var text string
		if err := from.Decode(&text); err == io.EOF {
			return texts, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		texts = append(texts, text)
	}
}

// trainTokenizer trains on texts with Llama 3's rule for words.
func trainTokenizer(texts []string, vocab int) (*bpe.Tokenizer, error) {
	var all iter.Seq2[string, error] = func(yield func(string, error) bool) {
		for _, text := range texts {
			if !yield(text, nil) {
				return
			}
		}
	}
	t, _, err := bpe.Train(context.Background(), all, bpe.TrainOptions{VocabSize: vocab, MinFrequency: 2})
	return t, err
}

// A tokenizerTraining trains a tokenizer.
type tokenizerTraining struct {
	texts []string
	vocab int
	last  *bpe.Tokenizer
}

func newTokenizerTraining(r request) (job, []float64, error) {
	texts, err := readTexts(r.Text)
	if err != nil {
		return nil, nil, err
	}
	t := &tokenizerTraining{texts: texts, vocab: r.Vocab}
	if err := t.run(); err != nil {
		return nil, nil, err
	}
	return t, []float64{float64(len(t.last.Encode(texts[0])))}, nil
}

func (t *tokenizerTraining) run() (err error) {
	t.last, err = trainTokenizer(t.texts, t.vocab)
	return err
}

func (t *tokenizerTraining) close() {}

// An encoding encodes all texts and keeps the ids.
type encoding struct {
	tokenizer *bpe.Tokenizer
	texts     []string
	ids       [][]int32
}

func newEncoding(r request) (job, []float64, error) {
	texts, err := readTexts(r.Text)
	if err != nil {
		return nil, nil, err
	}
	tokenizer, err := bpe.Load(r.Tokenizer)
	if err != nil {
		return nil, nil, err
	}
	e := &encoding{tokenizer: tokenizer, texts: texts, ids: make([][]int32, len(texts))}
	if err := e.run(); err != nil {
		return nil, nil, err
	}
	var count, sum float64
	for _, ids := range e.ids {
		count += float64(len(ids))
		for _, id := range ids {
			sum += float64(id)
		}
	}
	return e, []float64{count, sum}, nil
}

func (e *encoding) run() error {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(e.texts); i = int(next.Add(1)) - 1 {
				e.ids[i] = e.tokenizer.Encode(e.texts[i])
			}
		})
	}
	wait.Wait()
	return nil
}

func (e *encoding) close() {}
