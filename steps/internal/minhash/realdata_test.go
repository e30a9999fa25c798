package minhash

import (
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps/internal/ngram"
)

// goFiles are Go sources with many near-copies: packages vendored twice, and files generated for each system.
func goFiles(t testing.TB) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("no go command to ask for the Go sources:", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "src")
	var texts []string
	for _, dir := range []string{"vendor", "cmd/vendor/golang.org/x/sys", "cmd/vendor/golang.org/x/text", "syscall", "internal/syscall", "crypto"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			data, err := os.ReadFile(path)
			texts = append(texts, string(data))
			return err
		})
		if err != nil {
			t.Skip("no Go sources:", err)
		}
	}
	if len(texts) < 500 {
		t.Skipf("only %d Go files", len(texts))
	}
	return texts
}

// similarities counts what every two sets share by way of an index from elements to sets, and returns their exact
// similarities.
func similarities(sets [][]uint64) [][]float64 {
	in := map[uint64][]int32{}
	for i, set := range sets {
		for _, x := range set {
			in[x] = append(in[x], int32(i))
		}
	}
	shared := make([][]float64, len(sets))
	for i := range shared {
		shared[i] = make([]float64, i)
	}
	for _, list := range in {
		for k, j := range list {
			for _, i := range list[:k] {
				shared[j][i]++
			}
		}
	}
	for j := range shared {
		for i := range shared[j] {
			if total := float64(len(sets[i])+len(sets[j])) - shared[j][i]; total > 0 {
				shared[j][i] /= total
			}
		}
	}
	return shared
}

// On real files as many pairs are found as the formula expects, every document that is dropped is a copy, and few that an
// exact comparison of all pairs would drop are missed.
func TestAgainstExactSimilarity(t *testing.T) {
	const threshold, buckets, hashes = 0.8, 14, 8
	var sets [][]uint64
	for _, text := range goFiles(t) {
		sets = append(sets, Set(ngram.AppendHashes(nil, ngram.AppendWords(nil, text), 5)))
	}
	exact := similarities(sets)

	scheme := New(buckets, hashes)
	keys := make([][]uint64, len(sets))
	for i, set := range sets {
		keys[i] = scheme.AppendKeys(nil, set)
	}
	pairs, expected, found := 0, 0.0, 0
	stays, missed, dropped := make([]bool, len(sets)), 0, map[int]bool{}
	for j := range sets {
		stays[j] = true
		for i := range j {
			if exact[j][i] < threshold {
				continue
			}
			stays[j] = stays[j] && !stays[i]
			pairs++
			expected += Probability(exact[j][i], buckets, hashes)
			for b := range keys[i] {
				if keys[i][b] == keys[j][b] {
					found++
					break
				}
			}
		}
	}
	for _, c := range copies(t, 1<<16, threshold, sets) {
		dropped[c.Document] = true
		if s := exact[c.Document][c.Of]; s < threshold || math.Abs(s-c.Similarity) > 1e-12 || dropped[c.Of] {
			t.Errorf("document %d is dropped for %d with %.3f; exactly: %.3f", c.Document, c.Of, c.Similarity, s)
		}
	}
	copied := 0
	for i := range sets {
		if !stays[i] {
			copied++
			if !dropped[i] {
				missed++
			}
		}
	}
	t.Logf("%d files, %d pairs of at least %g: %d share a bucket, %.1f expected; %d copies by exact comparison, %d of them missed; %d dropped",
		len(sets), pairs, threshold, found, expected, copied, missed, len(dropped))
	if pairs < 100 {
		t.Skipf("only %d pairs of near-copies among these sources", pairs)
	}
	if slack := 4*math.Sqrt(float64(pairs)*0.05) + 0.02*float64(pairs); math.Abs(float64(found)-expected) > slack {
		t.Errorf("%d of %d pairs share a bucket, the formula says %.1f", found, pairs, expected)
	}
	if float64(missed) > 0.08*float64(copied) {
		t.Errorf("%d of %d copies are missed", missed, copied)
	}
}

func BenchmarkKeys(b *testing.B) {
	texts := goFiles(b)
	scheme := New(14, 8)
	var words []ngram.Word
	var grams, keys []uint64
	total := 0
	for i := 0; b.Loop(); i++ {
		text := texts[i%len(texts)]
		total += len(text)
		words = ngram.AppendWords(words[:0], text)
		grams = ngram.AppendHashes(grams[:0], words, 5)
		keys = scheme.AppendKeys(keys[:0], grams)
	}
	b.ReportMetric(float64(total)/1e6/b.Elapsed().Seconds(), "MB/s")
}
