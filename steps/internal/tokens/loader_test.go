package tokens

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/gpu"
)

const (
	testVocab = 40000
	testBOS   = 1
	testEOS   = 2
)

// A testPart describes a part of a set made by openTestSet.
type testPart struct {
	name   string
	weight float64
	epochs int // 0: no limit
	sizes  []int
}

// testIDs is document d of part p: BOS, ids that occur in no other of the part, EOS.
func testIDs(p, d, size int) []int32 {
	ids := []int32{testBOS}
	for i := 1; i < size-1; i++ {
		ids = append(ids, int32(100+p*10000+d*50+i))
	}
	return append(ids, testEOS)
}

// whose tells the document of an id between BOS and EOS.
func whose(id int32) (p, d int) { return int(id-100) / 10000, int(id-100) % 10000 / 50 }

func openTestSet(t testing.TB, parts ...testPart) *Set {
	t.Helper()
	dir := t.TempDir()
	m := Manifest{Tokenizer: "test", VocabSize: testVocab, BOS: testBOS, EOS: testEOS}
	for p, part := range parts {
		info := Part{Name: part.name, Weight: part.weight}
		if part.epochs > 0 {
			info.MaxEpochs = &part.epochs
		}
		w, err := CreatePart(dir, info, testVocab)
		if err != nil {
			t.Fatal(err)
		}
		for d, size := range part.sizes {
			if err := w.Train(testIDs(p, d, size), size); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Holdout(testIDs(p, 0, 5), 7+p); err != nil {
			t.Fatal(err)
		}
		if info, err = w.Close(); err != nil {
			t.Fatal(err)
		}
		m.Parts = append(m.Parts, info)
	}
	if err := WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	set, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	})
	return set
}

// manySizes gives n documents of 3 to 40 tokens.
func manySizes(n int) []int {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = 3 + rng.IntN(38)
	}
	return sizes
}

func fill(t *testing.T, l *Loader, n, context int) *gpu.Stream {
	t.Helper()
	s := &gpu.Stream{}
	s.Reset()
	if err := l.Fill(s, n, context); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPitfall02LoaderResumesExactly: the order is that of a loader that was not interrupted.
func TestPitfall02LoaderResumesExactly(t *testing.T) {
	set := openTestSet(t,
		testPart{name: "a", weight: 0.6, sizes: manySizes(60)},
		testPart{name: "b", weight: 0.3, epochs: 2, sizes: manySizes(17)},
		testPart{name: "c", weight: 0.1, sizes: manySizes(5)})
	rng := rand.New(rand.NewPCG(7, 7))
	whole, broken := set.Loader(42, 16), set.Loader(42, 16)
	for step := 0; whole.Consumed()[0].Epochs < 3; step++ {
		n, context := 1+rng.IntN(200), 1+rng.IntN(60)
		want, got := fill(t, whole, n, context), fill(t, broken, n, context)
		if !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.Targets, want.Targets) || !slices.Equal(got.Starts, want.Starts) {
			t.Fatalf("batch %d after an interruption differs: %v, want %v", step, got.IDs, want.IDs)
		}
		if rng.IntN(3) > 0 {
			continue
		}
		state, err := broken.State()
		if err != nil {
			t.Fatal(err)
		}
		if len(state) > 1000 {
			t.Fatalf("a state of %d bytes", len(state))
		}
		broken = set.Loader(rng.Uint64(), 16) // the seed is in the state
		if err := broken.Restore(state); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(broken.Consumed(), whole.Consumed()) {
			t.Fatalf("consumed %v after an interruption, want %v", broken.Consumed(), whole.Consumed())
		}
	}
}

// TestPitfall02LoaderEpochsDiffer: no two epochs have one order, and each has every document once.
func TestPitfall02LoaderEpochsDiffer(t *testing.T) {
	sizes := slices.Repeat([]int{12}, 100)
	set := openTestSet(t, testPart{name: "a", weight: 1, sizes: sizes})
	orders := map[string]string{}
	for _, seed := range []uint64{1, 2} {
		l := set.Loader(seed, 100)
		for epoch := range 3 {
			s := fill(t, l, 1200, 100)
			var order []int
			for i := range s.Segments() {
				_, d := whose(s.IDs[s.Starts[i]+1])
				order = append(order, d)
			}
			key, name := fmt.Sprint(order), fmt.Sprintf("seed %d epoch %d", seed, epoch)
			if other, ok := orders[key]; ok {
				t.Errorf("%s has the order of %s", name, other)
			}
			orders[key] = name
			slices.Sort(order)
			for d := range 100 {
				if order[d] != d {
					t.Fatalf("%s does not have every document once: %v", name, order)
				}
			}
		}
	}
}

// TestPitfall11LoaderBoundaries: one BOS at each document's begin, no segment and no target across documents.
func TestPitfall11LoaderBoundaries(t *testing.T) {
	set := openTestSet(t, testPart{name: "a", weight: 1, sizes: []int{3, 40, 7, 2, 25}}, testPart{name: "b", weight: 1, sizes: []int{10, 33}})
	for _, c := range []struct{ n, context int }{{50, 100}, {50, 8}, {7, 100}, {1, 1}, {13, 5}, {500, 39}} {
		l := set.Loader(5, 100)
		var ids, targets []int32
		for range 2000 / c.n {
			s := fill(t, l, c.n, c.context)
			if s.Len() != c.n || int(s.Starts[s.Segments()]) != c.n {
				t.Fatalf("%+v: %d tokens, starts %v", c, s.Len(), s.Starts)
			}
			for i := range s.Segments() {
				from, to := s.Starts[i], s.Starts[i+1]
				if to <= from || int(to-from) > c.context {
					t.Fatalf("%+v: a segment of %d tokens", c, to-from)
				}
				for k := from; k < to; k++ {
					if s.Positions[k] != k-from {
						t.Fatalf("%+v: position %d in the place %d of a segment", c, s.Positions[k], k-from)
					}
					if (s.IDs[k] == testBOS && k != from) || (s.IDs[k] == testEOS && k != to-1) {
						t.Fatalf("%+v: a segment goes on past a document: %v", c, s.IDs[from:to])
					}
				}
			}
			ids, targets = append(ids, s.IDs...), append(targets, s.Targets...)
		}
		// Across batches the ids are whole documents one after another, whatever was cut.
		for k := range len(ids) - 1 {
			want := ids[k+1]
			if ids[k] == testEOS {
				want = gpu.NoTarget
				if ids[k+1] != testBOS {
					t.Fatalf("%+v: %d follows the end of a document", c, ids[k+1])
				}
			}
			if targets[k] != want {
				t.Fatalf("%+v: the target of %d is %d, want %d", c, ids[k], targets[k], want)
			}
		}
		checkWhole(t, ids)
	}
}

// checkWhole looks at a run of documents, of which the last may be cut.
func checkWhole(t *testing.T, ids []int32) {
	t.Helper()
	for k := 0; k < len(ids); {
		end := k + slices.Index(ids[k:], testEOS)
		if end < k {
			return
		}
		var want []int32
		if end-k > 1 {
			p, d := whose(ids[k+1])
			want = testIDs(p, d, end-k+1)
		} else {
			want = []int32{testBOS, testEOS}
		}
		if !slices.Equal(ids[k:end+1], want) {
			t.Fatalf("the document %v, want %v", ids[k:end+1], want)
		}
		k = end + 1
	}
}

// A long document is dealt out in pieces that are shuffled with all others: each token once an epoch, each with the
// token that follows it in its document.
func TestLoaderShufflesPieces(t *testing.T) {
	const size = 7
	sizes := []int{40, 3, 38, 7, 14, 8}
	set := openTestSet(t, testPart{name: "a", weight: 1, sizes: sizes})
	var want, got [][2]int32
	for d, n := range sizes {
		ids := append(testIDs(0, d, n), gpu.NoTarget)
		for k := range n {
			want = append(want, [2]int32{ids[k], ids[k+1]})
		}
	}
	l := set.Loader(9, size)
	var order []int
	s := fill(t, l, len(want), size)
	for i := range s.Segments() {
		from, to := s.Starts[i], s.Starts[i+1]
		_, d := whose(max(s.IDs[from], s.Targets[from])) // one of the two is no BOS and no EOS
		order = append(order, d)
		for k := from; k < to; k++ {
			got = append(got, [2]int32{s.IDs[k], s.Targets[k]})
			if k+1 < to && s.Targets[k] != s.IDs[k+1] {
				t.Fatalf("%d follows %d, whose target is %d", s.IDs[k+1], s.IDs[k], s.Targets[k])
			}
		}
		if to-from > size {
			t.Errorf("a piece of %d tokens", to-from)
		}
	}
	compare := func(a, b [2]int32) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }
	slices.SortFunc(want, compare)
	slices.SortFunc(got, compare)
	if !slices.Equal(got, want) {
		t.Errorf("an epoch deals out %v\nwant %v", got, want)
	}
	if slices.IsSorted(order) || len(slices.Compact(slices.Clone(order))) <= len(sizes) {
		t.Errorf("the pieces of a document stay together: %v", order)
	}
}

func TestLoaderWeights(t *testing.T) {
	set := openTestSet(t,
		testPart{name: "a", weight: 0.7, sizes: manySizes(50)},
		testPart{name: "b", weight: 0.2, sizes: manySizes(20)},
		testPart{name: "none", weight: 0, sizes: manySizes(20)},
		testPart{name: "c", weight: 0.1, sizes: manySizes(3)})
	l := set.Loader(3, 64)
	total := 0
	for range 100 {
		fill(t, l, 97, 64)
		total += 97
		for i, c := range l.Consumed() {
			// A part is never further off than the documents in play are long.
			if want := set.Parts()[i].Weight * float64(total); math.Abs(float64(c.Tokens)-want) > 80 {
				t.Fatalf("after %d tokens part %s has given %d, its share is %.0f", total, c.Part, c.Tokens, want)
			}
		}
	}
}

// TestReweigh: other weights take the place of the mixture's own, and its epoch caps no longer hold.
func TestReweigh(t *testing.T) {
	set := openTestSet(t,
		testPart{name: "a", weight: 0.9, sizes: manySizes(50)},
		testPart{name: "b", weight: 0.1, epochs: 1, sizes: manySizes(3)})
	set.Reweigh([]float64{1, 3})
	l := set.Loader(3, 64)
	fill(t, l, 10_000, 64)
	if c := l.Consumed(); math.Abs(float64(c[1].Tokens)-7500) > 80 || c[1].Epochs < 2 || set.Available() != Unlimited {
		t.Errorf("%+v of weights 1 and 3", c)
	}
}

func TestLoaderEpochCaps(t *testing.T) {
	a, b := manySizes(40), manySizes(10)
	set := openTestSet(t, testPart{name: "a", weight: 0.5, epochs: 2, sizes: a}, testPart{name: "b", weight: 0.5, epochs: 3, sizes: b},
		testPart{name: "none", weight: 0, sizes: manySizes(4)})
	sum := func(sizes []int) (n int64) {
		for _, s := range sizes {
			n += int64(s)
		}
		return n
	}
	want := 2*sum(a) + 3*sum(b)
	if got := set.Available(); got != want {
		t.Fatalf("%d tokens are available, want %d", got, want)
	}
	l := set.Loader(1, 16)
	var got int64
	for got+50 <= want {
		fill(t, l, 50, 16)
		got += 50
	}
	s := &gpu.Stream{}
	s.Reset()
	err := l.Fill(s, 50, 16)
	if !errors.Is(err, ErrUsedUp) || !strings.Contains(err.Error(), fmt.Sprintf("b gave %d tokens in 3 epochs of %d", 3*sum(b), sum(b))) {
		t.Errorf("after all data: %v", err)
	}
	if got += int64(s.Len()); got != want {
		t.Errorf("%d tokens were dealt out, want %d", got, want)
	}
	for i, epochs := range []float64{2, 3, 0} {
		if c := l.Consumed()[i]; c.Epochs != epochs {
			t.Errorf("part %s was dealt out %v times, want %v", c.Part, c.Epochs, epochs)
		}
	}
	if free := openTestSet(t, testPart{name: "a", weight: 1, sizes: b}); free.Available() != Unlimited {
		t.Errorf("without max_epochs %d tokens are available", free.Available())
	}
}

func TestLoaderRestoreRejects(t *testing.T) {
	set := openTestSet(t, testPart{name: "a", weight: 1, sizes: manySizes(40)})
	l := set.Loader(1, 50)
	fill(t, l, 500, 50)
	state, err := l.State()
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*Set{
		"another part":   openTestSet(t, testPart{name: "b", weight: 1, sizes: manySizes(40)}),
		"more documents": openTestSet(t, testPart{name: "a", weight: 1, sizes: manySizes(41)}),
		"more parts":     openTestSet(t, testPart{name: "a", weight: 1, sizes: manySizes(40)}, testPart{name: "b", weight: 1, sizes: manySizes(2)}),
	} {
		if err := other.Loader(1, 50).Restore(state); err == nil || !strings.Contains(err.Error(), "other data") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := set.Loader(1, 49).Restore(state); err == nil || !strings.Contains(err.Error(), "pieces are of 50 tokens") {
		t.Errorf("pieces of another size: %v", err)
	}
	if err := l.Restore(state[:20]); err == nil {
		t.Error("half a state was restored")
	}
}

func TestHoldout(t *testing.T) {
	set := openTestSet(t, testPart{name: "a", weight: 1, sizes: []int{4}}, testPart{name: "b", weight: 1, sizes: []int{4}})
	for p, part := range []string{"a", "b"} {
		n := 0
		for d, err := range set.Holdout(part) {
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(d.IDs, testIDs(p, 0, 5)) || d.Bytes != 7+p {
				t.Errorf("part %s: %+v", part, d)
			}
			n++
		}
		if n != 1 {
			t.Errorf("part %s has %d held-out documents", part, n)
		}
	}
	for _, err := range set.Holdout("x") {
		if err == nil {
			t.Error("a part that is not there has documents")
		}
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "mixture.json") {
		t.Errorf("an empty folder: %v", err)
	}
	set := openTestSet(t, testPart{name: "a", weight: 1, sizes: manySizes(4)})
	writeIndexed(t, filepath.Join(set.dir, "a"), testVocab, [][]int32{{1, 2}})
	if _, err := Open(set.dir); err == nil || !strings.Contains(err.Error(), "part a has 2 tokens") {
		t.Errorf("the ids of another mixture: %v", err)
	}
}

// Fill allocates nothing once its buffers have grown, also when an epoch ends.
func TestFillAllocatesNothing(t *testing.T) {
	set := openTestSet(t, testPart{name: "a", weight: 0.5, sizes: manySizes(50)}, testPart{name: "b", weight: 0.5, sizes: manySizes(9)})
	l, s := set.Loader(1, 32), &gpu.Stream{}
	if n := testing.AllocsPerRun(200, func() {
		s.Reset()
		if err := l.Fill(s, 256, 32); err != nil {
			t.Fatal(err)
		}
	}); n > 0.5 { // the first batches grow the list of segments
		t.Errorf("%v allocations per batch", n)
	}
}

func BenchmarkFill(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(fmt.Sprintf("documents=%d", size), func(b *testing.B) {
			set := openTestSet(b, testPart{name: "a", weight: 0.7, sizes: slices.Repeat([]int{size}, 150)}, testPart{name: "b", weight: 0.3, sizes: slices.Repeat([]int{size}, 150)})
			l, s := set.Loader(1, 256), &gpu.Stream{}
			b.ReportAllocs()
			for b.Loop() {
				s.Reset()
				if err := l.Fill(s, 8192, 1024); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*8192/b.Elapsed().Seconds()/1e6, "Mtok/s")
		})
	}
}
