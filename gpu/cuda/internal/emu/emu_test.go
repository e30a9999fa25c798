//go:build cudaemu

package emu

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"athanor/gpu/cuda/internal/driver"
)

// settings are of a GPU that works.
var settings = Settings{Memory: 1 << 20, Major: 8}

// run launches a kernel on an emulated GPU and returns its first argument, out words of 4 bytes that were 0. Words of in
// are the second argument, if there are any; cells are the arguments behind it.
func run(t *testing.T, seed uint64, l driver.Launch, out int, in []uint32, cells ...uint64) ([]uint32, error) {
	t.Helper()
	d := Open(seed, settings)
	var memory []driver.Ptr
	defer func() {
		for _, p := range memory {
			_ = d.Free(p) // it returns the error of the launch again
		}
		_ = d.Close() // likewise
	}()
	alloc := func(words int) driver.Ptr {
		p, err := d.Alloc(int64(4 * words))
		if err != nil {
			t.Fatal(err)
		}
		memory = append(memory, p)
		return p
	}
	result := alloc(out)
	if err := d.Zero(result, int64(4*out)); err != nil {
		t.Fatal(err)
	}
	l.Args = []uint64{uint64(result)}
	if len(in) > 0 {
		p := alloc(len(in))
		bytes, err := binary.Append(nil, binary.LittleEndian, in)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Upload(p, bytes); err != nil {
			t.Fatal(err)
		}
		l.Args = append(l.Args, uint64(p))
	}
	l.Args = append(l.Args, cells...)
	if err := d.Launch(l); err != nil {
		return nil, err
	}
	bytes := make([]byte, 4*out)
	if err := d.Download(bytes, result); err != nil {
		t.Fatal(err)
	}
	err := d.Sync()
	words := make([]uint32, out)
	if _, err := binary.Decode(bytes, binary.LittleEndian, words); err != nil {
		t.Fatal(err)
	}
	return words, err
}

// block is a launch of one block.
func block(kernel string, threads, shared int) driver.Launch {
	return driver.Launch{Kernel: kernel, Grid: [3]int{1, 1, 1}, Block: [3]int{threads, 1, 1}, Shared: shared}
}

// TestMissingWaitShows runs kernels that lack a barrier, or the wait for a copy, under a few seeds: some order of the
// threads must show it. With the barrier none may.
func TestMissingWaitShows(t *testing.T) {
	in := make([]uint32, 4*64)
	for i := range in {
		in[i] = uint32(i + 1)
	}
	for _, c := range []struct {
		name string
		l    driver.Launch
		out  int
		in   []uint32
		want func(i int) uint32
	}{
		{"barrier", block("emu_neighbour", 256, 4*256), 256, nil, func(i int) uint32 { return uint32(i+255) % 256 }},
		{"overtaking", block("emu_overtake", 256, 4), 256, nil, func(int) uint32 { return 1 }},
		{"warp", block("emu_lane", 32, 4*32), 32, nil, func(i int) uint32 { return uint32(i ^ 1) }},
		{"copy", block("emu_copy", 64, 16*64), 4 * 64, in, func(i int) uint32 {
			if i/4%2 == 1 {
				return 0 // not valid
			}
			return uint32(i + 1)
		}},
	} {
		want := make([]uint32, c.out)
		for i := range want {
			want[i] = c.want(i)
		}
		wrong := 0
		for seed := range uint64(8) {
			got, err := run(t, seed, c.l, c.out, c.in, 1)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, seed %d: %v, want %v (%v)", c.name, seed, got, want, err)
			}
			got, err = run(t, seed, c.l, c.out, c.in, 0)
			if err != nil {
				t.Error(err)
			}
			if !slices.Equal(got, want) {
				wrong++
			}
		}
		if wrong == 0 {
			t.Errorf("%s: eight orders of the threads do not show that it is missing", c.name)
		}
	}
}

func TestWarpOperations(t *testing.T) {
	got, err := run(t, 3, block("emu_warp", 64, 0), 4*64, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		warp, lane := i/32*32, i%32
		above := lane + 7
		if above > 31 {
			above = lane
		}
		want := []uint32{uint32(10 * (warp + 5)), uint32(10 * (warp + lane ^ 3)), uint32(10 * (warp + above)), 0xaaaaaaaa}
		if !slices.Equal(got[4*i:4*i+4], want) {
			t.Errorf("thread %d: %v, want %v", i, got[4*i:4*i+4], want)
		}
	}
}

// TestProduct compares ldmatrix and mma with three loops. The numbers are whole, so the sums are exact.
func TestProduct(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, transposed := range []uint64{0, 1} {
		a, b := make([]float32, 16*16), make([]float32, 16*8)
		for i := range a {
			a[i] = float32(rng.IntN(41) - 20)
		}
		for i := range b {
			b[i] = float32(rng.IntN(41) - 20)
		}
		d := Open(7, settings)
		l := block("emu_product", 32, 2*512)
		out, left, right := upload(t, d, make([]uint32, 128)), upload(t, d, halves(a)), upload(t, d, halves(b))
		l.Args = []uint64{uint64(out), uint64(left), uint64(right), transposed}
		if err := d.Launch(l); err != nil {
			t.Fatal(err)
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		bytes := view(out, 4*128)
		for i := range 16 {
			for j := range 8 {
				want := float32(0)
				for k := range 16 {
					at := k*8 + j
					if transposed == 1 {
						at = j*16 + k
					}
					want += a[i*16+k] * b[at]
				}
				if got := math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*(i*8+j):])); got != want {
					t.Errorf("transposed %d, element %d,%d: %v, want %v", transposed, i, j, got, want)
				}
			}
		}
		for _, p := range []driver.Ptr{out, left, right} {
			if err := d.Free(p); err != nil {
				t.Error(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func upload(t *testing.T, d driver.Driver, words []uint32) driver.Ptr {
	p, err := d.Alloc(int64(4 * len(words)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := binary.Encode(view(p, int64(4*len(words))), binary.LittleEndian, words); err != nil {
		t.Fatal(err)
	}
	return p
}

// halves packs numbers that bfloat16 holds exactly, two to a word.
func halves(x []float32) []uint32 {
	words := make([]uint32, len(x)/2)
	for i := range words {
		words[i] = math.Float32bits(x[2*i])>>16 | math.Float32bits(x[2*i+1])&0xffff0000
	}
	return words
}

// TestBadLaunches checks what the emulator refuses, and that it goes on afterwards.
func TestBadLaunches(t *testing.T) {
	for _, c := range []struct {
		name    string
		l       driver.Launch
		cell    uint64
		message string
	}{
		{"divergent", block("emu_divergent", 64, 0), 0, "all threads wait, but not for the same barrier"},
		{"unknown", block("emu_nothing", 32, 0), 0, "no such kernel"},
		{"half a warp", block("emu_divergent", 48, 0), 1, "whole warps"},
		{"too many threads", block("emu_divergent", 2048, 0), 1, "32 to 1024 threads"},
		{"too much shared memory", block("emu_divergent", 32, 1<<20), 1, "shared memory"},
		{"no blocks", driver.Launch{Kernel: "emu_divergent", Block: [3]int{32, 1, 1}}, 1, "grid"},
	} {
		if _, err := run(t, 1, c.l, 1, nil, c.cell); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v; want an error with %q", c.name, err, c.message)
		}
	}
	if _, err := run(t, 1, block("emu_divergent", 64, 0), 1, nil, 1); err != nil {
		t.Errorf("threads that ended are waited for: %v", err)
	}
}

func TestArguments(t *testing.T) {
	l := driver.Launch{Kernel: "emu_arguments", Grid: [3]int{2, 3, 4}, Block: [3]int{32, 1, 1}}
	minusFive := int32(-5)
	got, err := run(t, 1, l, 2*(3+24), nil, uint64(uint32(minusFive)), 1<<40, uint64(math.Float32bits(0.5)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 + 24 {
		want := 32.0 // each block was there
		if i < 3 {
			want = []float64{-5, 1 << 40, 0.5}[i]
		}
		if v := math.Float64frombits(uint64(got[2*i]) | uint64(got[2*i+1])<<32); v != want {
			t.Errorf("word %d is %v, want %v", i, v, want)
		}
	}
}

func TestRoundsToBF16(t *testing.T) {
	const ulp = 1.0 / 128 // between 1 and 2
	cases := [][2]float64{
		{0, 0}, {1, 1}, {-1 - ulp/4, -1}, {1 + 3*ulp/4, 1 + ulp}, {1 + ulp/2, 1}, {1 + 3*ulp/2, 1 + 2*ulp},
		{math.MaxFloat32, math.Inf(1)}, {math.Inf(-1), math.Inf(-1)},
	}
	in := make([]uint32, 32)
	for i, c := range cases {
		in[i] = math.Float32bits(float32(c[0]))
	}
	in[31] = 0x7f800001 // a NaN whose upper half alone would be an infinity
	got, err := run(t, 1, block("emu_round", 32, 0), 64, in)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		for _, word := range got[2*i : 2*i+2] {
			if v := math.Float32frombits(word); float64(v) != c[1] {
				t.Errorf("%v became %v, want %v", c[0], v, c[1])
			}
		}
	}
	if v := math.Float32frombits(got[62]); v == v {
		t.Errorf("NaN became %v", v)
	}
}
