package gputest

import (
	"errors"
	"math"
	"slices"
	"testing"

	"athanor/gpu"
)

// memory checks allocation and the copies to, from and within the device.
func (s *suite) memory(t *testing.T) {
	d := s.devices[0]
	t.Run("Alloc gives zeros, also where numbers stood", func(t *testing.T) {
		for range 3 {
			x := alloc(t, d, gpu.F32, 33, 17)
			if got := read(d, x); slices.ContainsFunc(got, func(v float32) bool { return v != 0 }) {
				t.Fatalf("a new tensor holds %v", got)
			}
			d.Write(x, counting(x.Len()))
			d.Free(x)
		}
	})
	t.Run("Alloc of nothing", func(t *testing.T) {
		x := alloc(t, d, gpu.F32, 0, 17)
		if x.IsZero() {
			t.Error("an empty tensor looks like one left out")
		}
		d.Zero(x)
		d.Free(x)
	})
	t.Run("Write, Read, Copy and Zero of slices", func(t *testing.T) { slicesOf(t, d) })
	t.Run("out of memory", func(t *testing.T) { outOfMemory(t, d) })
	t.Run("BF16", func(t *testing.T) {
		if s.tol.BF16 == 0 {
			t.Skip("the device offers float32 only")
		}
		roundsToBF16(t, d)
	})
}

func slicesOf(t *testing.T, d gpu.Device) {
	const rows, cols = 7, 5
	x, y := alloc(t, d, gpu.F32, rows, cols), alloc(t, d, gpu.F32, rows, cols)
	defer d.Free(x)
	defer d.Free(y)
	want := counting(rows * cols)
	d.Write(x, want)
	if got := read(d, x); !slices.Equal(got, want) {
		t.Errorf("read %v, wrote %v", got, want)
	}
	if got := read(d, x.Slice(2, 4)); !slices.Equal(got, want[2*cols:4*cols]) {
		t.Errorf("read %v of rows 2:4 of %v", got, want)
	}
	d.Copy(y.Slice(1, 4), x.Slice(3, 6))
	d.Zero(x.Slice(5, 6))
	d.Write(x.Slice(0, 1), make([]float32, cols))
	copied := slices.Concat(make([]float32, cols), want[3*cols:6*cols], make([]float32, 3*cols))
	if got := read(d, y); !slices.Equal(got, copied) {
		t.Errorf("copied %v, want %v", got, copied)
	}
	clear(want[5*cols : 6*cols])
	clear(want[:cols])
	if got := read(d, x); !slices.Equal(got, want) {
		t.Errorf("zeroed to %v, want %v", got, want)
	}
}

func outOfMemory(t *testing.T, d gpu.Device) {
	memory := d.Info().Memory
	if memory == 0 {
		t.Skip("the device does not know how much memory it has")
	}
	const cols = 1024
	for _, times := range []int64{1, 64} {
		rows := int(times*memory/(4*cols)) + 1024
		x, err := d.Alloc(gpu.F32, rows, cols)
		if err == nil {
			d.Free(x)
			t.Errorf("Alloc of %d bytes succeeded where %d are free", 4*cols*rows, memory)
		} else if !errors.Is(err, gpu.ErrOutOfMemory) {
			t.Errorf("Alloc of %d bytes: %v; want ErrOutOfMemory", 4*cols*rows, err)
		}
	}
	d.Free(alloc(t, d, gpu.F32, 3, 3)) // the device goes on
	if err := d.Sync(); err != nil {
		t.Errorf("an allocation that did not fit is not a fault of the device: %v", err)
	}
}

// roundsToBF16 checks that Write rounds to nearest, ties to even.
func roundsToBF16(t *testing.T, d gpu.Device) {
	const ulp = 1.0 / 128 // between 1 and 2
	cases := []struct{ in, want float32 }{
		{0, 0}, {1, 1}, {-1.5, -1.5}, {1 + ulp, 1 + ulp},
		{1 + ulp/4, 1}, {1 + 3*ulp/4, 1 + ulp},
		{1 + ulp/2, 1}, {1 + 3*ulp/2, 1 + 2*ulp},
		{float32(math.Inf(1)), float32(math.Inf(1))},
	}
	x := alloc(t, d, gpu.BF16, 1, len(cases))
	defer d.Free(x)
	in := make([]float32, len(cases))
	for i, c := range cases {
		in[i] = c.in
	}
	d.Write(x, in)
	for i, v := range read(d, x) {
		if v != cases[i].want {
			t.Errorf("%v became %v, want %v", cases[i].in, v, cases[i].want)
		}
	}
}

func alloc(t testing.TB, d gpu.Device, dtype gpu.DType, rows, cols int) gpu.Tensor {
	t.Helper()
	x, err := d.Alloc(dtype, rows, cols)
	if err != nil {
		t.Fatalf("Alloc of %d×%d: %v", rows, cols, err)
	}
	if x.Rows != rows || x.Cols != cols || x.Type != dtype || x.Offset != 0 {
		t.Fatalf("Alloc of %d×%d %v returned %+v", rows, cols, dtype, x)
	}
	return x
}

func read(d gpu.Device, x gpu.Tensor) []float32 {
	host := make([]float32, x.Len())
	d.Read(host, x)
	return host
}

// counting is 1, 2, … n.
func counting(n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i + 1)
	}
	return values
}
