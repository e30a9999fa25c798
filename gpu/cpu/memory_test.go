package cpu

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"athanor/gpu"
)

// TestMemoryGoesBack allocates tensors of all sorts: what is freed, or left to Close, is the system's again at once, and
// until then it holds what it is given.
func TestMemoryGoesBack(t *testing.T) {
	d := open(t, 1)
	const large = 64 << 20
	before := resident(t)
	one, err := d.Alloc(gpu.F32, large/4096, 1024)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make([]float32, 1<<20)
	for i := range numbers {
		numbers[i] = float32(i % 1000)
	}
	for from := 0; from < one.Rows; from += 1024 {
		d.Write(one.Slice(from, from+1024), numbers)
	}
	full := resident(t)
	if full-before < large*9/10 {
		t.Errorf("%d MiB resident before, %d with a full tensor of %d", before>>20, full>>20, large>>20)
	}
	d.Free(one)
	if now := resident(t); full-now < large*9/10 {
		t.Errorf("%d MiB resident with a tensor of %d MiB, %d without", full>>20, large>>20, now>>20)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("what was freed can be read")
			}
		}()
		d.Read(numbers, one.Slice(0, 1024))
	}()

	for _, n := range []int{1, 1 << 13, hugePage/4 - 1, hugePage / 4, hugePage/4 + 1, 3 * hugePage / 4} {
		x, err := d.Alloc(gpu.F32, 1, n)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, n)
		d.Read(got, x)
		for i, v := range got {
			if v != 0 {
				t.Fatalf("number %d of a new tensor of %d is %v", i, n, v)
			}
		}
		got[0], got[n-1] = 1, 2
		d.Write(x, got)
	}
	if len(d.memory.mapped) != 3 {
		t.Errorf("%d mappings, not 3", len(d.memory.mapped))
	}
}

// resident is how much memory the process has resident, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("the system does not say how much memory is resident:", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
