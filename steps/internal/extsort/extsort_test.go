package extsort

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func sorted(t *testing.T, s *Sorter) []Pair {
	t.Helper()
	var out []Pair
	for p, err := range s.Sorted() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// Any memory gives the order that sorting in memory gives.
func TestSorted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pairs := make([]Pair, 5000)
	for i := range pairs {
		pairs[i] = Pair{random.Uint64N(700), random.Uint64N(5)}
	}
	want := slices.Clone(pairs)
	slices.SortFunc(want, compare)
	sums := []Pair{}
	for _, p := range want {
		if n := len(sums); n > 0 && sums[n-1].Key == p.Key {
			sums[n-1].Value += p.Value
		} else {
			sums = append(sums, p)
		}
	}
	for _, memory := range []int64{0, 16 * 100, 16 * 1000, 16 * 5000, 1 << 30} {
		for _, sum := range []bool{false, true} {
			dir := t.TempDir()
			s := New(dir, memory, sum)
			for _, p := range pairs {
				if err := s.Add(p); err != nil {
					t.Fatal(err)
				}
			}
			expect := want
			if sum {
				expect = sums
			}
			if got := sorted(t, s); !slices.Equal(got, expect) {
				t.Errorf("memory %d, sum %t: %d pairs are not in order", memory, sum, len(got))
			}
			if got := sorted(t, s); !slices.Equal(got, expect) {
				t.Errorf("memory %d, sum %t: reading them again gives something else", memory, sum)
			}
			if spilled := len(s.ends) > 0; !sum && spilled != (memory < 1<<30) {
				t.Errorf("memory %d: spilled is %t", memory, spilled)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
		}
	}
}

func TestEmpty(t *testing.T) {
	s := New(t.TempDir(), 0, true)
	if got := sorted(t, s); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	fill := func(s *Sorter) (err error) {
		for i := range uint64(100) {
			if err = s.Add(Pair{i, i}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := fill(New(filepath.Join(t.TempDir(), "gone"), 0, false)); err == nil {
		t.Error("no error although there is no folder")
	}
	s := New(t.TempDir(), 0, false)
	if err := fill(s); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.file.Name(), 200); err != nil {
		t.Fatal(err)
	}
	failed := false
	for _, err := range s.Sorted() {
		failed = failed || err != nil
	}
	if !failed {
		t.Error("no error although the scratch file is cut short")
	}
}
