package minhash

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// pair makes two sets of together n elements of which they share the given part.
func pair(random *rand.Rand, n int, similarity float64) (a, b []uint64) {
	shared := int(math.Round(float64(n) * similarity))
	for i := range n {
		x := random.Uint64()
		if i < shared || i%2 == 0 {
			a = append(a, x)
		}
		if i < shared || i%2 == 1 {
			b = append(b, x)
		}
	}
	return Set(a), Set(b)
}

func share(s *Scheme, a, b []uint64) bool {
	x, y := s.AppendKeys(nil, a), s.AppendKeys(nil, b)
	for i := range x {
		if x[i] == y[i] {
			return true
		}
	}
	return false
}

// How often pairs share a bucket is what the formula says, for several similarities and schemes.
func TestProbability(t *testing.T) {
	if p := Probability(0.8, 14, 8); math.Abs(p-0.924) > 0.0005 {
		t.Errorf("P(0.8) with 14 buckets of 8 is %.4f, published: 0.924", p)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for _, scheme := range []*Scheme{New(14, 8), New(20, 5), New(1, 1)} {
		for _, similarity := range []float64{0.3, 0.6, 0.7, 0.8, 0.9} {
			const trials, size = 1000, 200
			found := 0
			for range trials {
				a, b := pair(random, size, similarity)
				if got := Similarity(a, b); math.Abs(got-similarity) > 1e-9 {
					t.Fatalf("similarity %g, want %g", got, similarity)
				}
				if share(scheme, a, b) {
					found++
				}
			}
			want := Probability(similarity, scheme.buckets, scheme.hashes)
			got := float64(found) / trials
			// Four standard deviations, and what a finite set takes off a power of its similarity.
			if slack := 4*math.Sqrt(want*(1-want)/trials) + 0.02; math.Abs(got-want) > slack {
				t.Errorf("%d buckets of %d at %g: %.3f found, the formula says %.3f", scheme.buckets, scheme.hashes, similarity, got, want)
			}
		}
	}
}

// Elements in another order and elements said twice are the same set.
func TestKeysAreOfSets(t *testing.T) {
	s := New(14, 8)
	a := s.AppendKeys(nil, []uint64{5, 9, 1 << 60, 77, 1 << 33})
	b := s.AppendKeys(nil, []uint64{1 << 33, 77, 9, 5, 5, 1 << 60, 9, 9})
	if fmt.Sprint(a) != fmt.Sprint(b) || len(a) != 14 {
		t.Errorf("%v and %v", a, b)
	}
	if got := s.AppendKeys(nil, nil); len(got) != 0 {
		t.Errorf("the empty set has keys %v", got)
	}
}

func TestSimilarity(t *testing.T) {
	for _, c := range []struct {
		a, b []uint64
		want float64
	}{
		{nil, nil, 0},
		{[]uint64{1}, nil, 0},
		{[]uint64{1, 2}, []uint64{2, 1, 1}, 1},
		{[]uint64{1, 2, 3}, []uint64{2, 3, 4}, 0.5},
		{[]uint64{1, 2, 3, 4}, []uint64{9, 4}, 0.2},
	} {
		if got := Similarity(Set(c.a), Set(c.b)); got != c.want {
			t.Errorf("%v and %v: %g, want %g", c.a, c.b, got, c.want)
		}
	}
}

func copies(t *testing.T, memory int64, threshold float64, sets [][]uint64) []Copy {
	t.Helper()
	f := NewFinder(t.TempDir(), memory)
	s := New(14, 8)
	for _, set := range sets {
		if err := f.Add(s.AppendKeys(nil, set)); err != nil {
			t.Fatal(err)
		}
	}
	var out []Copy
	for c, err := range f.Copies(threshold, func(a, b int) (float64, error) { return Similarity(sets[a], sets[b]), nil }) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// The first copy stays, and what is like a dropped document alone stays too: b is like a, and c like b but not like a.
func TestFirstStays(t *testing.T) {
	var base []uint64
	random := rand.New(rand.NewPCG(5, 6))
	for range 400 {
		base = append(base, random.Uint64())
	}
	a, b, c := base[:360], base[20:380], base[40:400]
	sets := [][]uint64{Set([]uint64{1, 2, 3}), Set(append([]uint64{}, a...)), nil, Set(append([]uint64{}, b...)), Set(append([]uint64{}, c...)), Set(append([]uint64{}, a...)), nil}
	got := copies(t, 1<<20, 0.85, sets)
	want := []Copy{{3, 1, 340.0 / 380}, {5, 1, 1}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The memory changes nothing, and a crowd of near misses in one bucket is compared no more than said.
func TestMemory(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	var sets [][]uint64
	for range 300 {
		a, b := pair(random, 60, 0.5+random.Float64()/2)
		sets = append(sets, a, b)
		if i := random.IntN(len(sets)); i%3 == 0 {
			sets = append(sets, sets[i])
		}
	}
	want := copies(t, 1<<30, 0.8, sets)
	if len(want) < 100 {
		t.Fatalf("%d copies", len(want))
	}
	for _, memory := range []int64{0, 5000, 60000} {
		if got := copies(t, memory, 0.8, sets); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("with %d bytes %d copies, with much memory %d", memory, len(got), len(want))
		}
	}
	f := NewFinder(t.TempDir(), 0)
	const crowd = 500
	for range crowd {
		if err := f.Add([]uint64{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
	}
	compared := 0
	for c := range f.Copies(0.5, func(_, _ int) (float64, error) { compared++; return 0.4, nil }) {
		t.Errorf("%v is no copy", c)
	}
	if compared > crowd*MostCompared || compared < crowd {
		t.Errorf("%d comparisons", compared)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
