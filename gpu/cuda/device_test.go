package cuda

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// fake is a GPU that has addresses and no memory. It counts, and fails when it is told to.
type fake struct {
	properties driver.Properties
	next       driver.Ptr
	sizes      map[driver.Ptr]int64
	allocated  int64
	launches   []driver.Launch
	products   []driver.Product
	fails      error // of every launch
	late       error // of the next Sync
	waits      int
	order      []string // kernels launched and waits, by name
}

func newFake(memory int64) *fake {
	return &fake{
		properties: driver.Properties{Name: "Fake 1", Major: 9, Multiprocessors: 2, Memory: memory}, next: 1 << 32,
		sizes: map[driver.Ptr]int64{},
	}
}

func (f *fake) Properties() driver.Properties { return f.properties }
func (f *fake) Memory() (int64, error)        { return f.properties.Memory - f.allocated, nil }

func (f *fake) Alloc(bytes int64) (driver.Ptr, error) {
	if f.allocated+bytes > f.properties.Memory {
		return 0, driver.ErrOutOfMemory
	}
	p := f.next
	f.allocated, f.next = f.allocated+bytes, f.next+driver.Ptr(bytes) // chunks follow each other without a gap
	f.sizes[p] = bytes
	return p, nil
}

func (f *fake) Free(p driver.Ptr) error {
	if _, ok := f.sizes[p]; !ok {
		return errors.New("freed twice")
	}
	f.allocated -= f.sizes[p]
	delete(f.sizes, p)
	return nil
}

func (f *fake) Pinned(bytes int) ([]byte, error)          { return make([]byte, bytes), nil }
func (f *fake) Upload(driver.Ptr, []byte) error           { return nil }
func (f *fake) Download([]byte, driver.Ptr) error         { return nil }
func (f *fake) Copy(dst, src driver.Ptr, n int64) error   { return nil }
func (f *fake) Zero(driver.Ptr, int64) error              { return nil }
func (f *fake) Multiply(p driver.Product) error           { f.products = append(f.products, p); return nil }
func (f *fake) Record(driver.Event) (driver.Event, error) { return 0, nil }
func (f *fake) Sync() error                               { return f.late }
func (f *fake) Close() error                              { return nil }

func (f *fake) Launch(l driver.Launch) error {
	f.launches, f.order = append(f.launches, l), append(f.order, l.Kernel)
	return f.fails
}

func (f *fake) Wait(driver.Event) error {
	f.waits++
	f.order = append(f.order, "wait")
	return nil
}

func openFake(t *testing.T, f *fake) *device {
	t.Helper()
	d, err := newDevice(f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestArena hands pieces out and takes them back at random: no two overlap, all are aligned, and in the end everything is
// one piece again, chunk by chunk.
func TestArena(t *testing.T) {
	f := newFake(2 << 30)
	a := arena{driver: f}
	random := rand.New(rand.NewPCG(1, 2))
	var held []span
	for range 2000 {
		if len(held) > 0 && (len(held) > 60 || random.IntN(2) == 0) {
			i := random.IntN(len(held))
			if err := a.release(held[i]); err != nil {
				t.Fatal(err)
			}
			held = slices.Delete(held, i, i+1)
			continue
		}
		s, err := a.alloc(int64(math.Exp(random.Float64() * 17)))
		if err != nil {
			t.Fatal(err)
		}
		if s.at%grain != 0 {
			t.Fatalf("memory at %#x", s.at)
		}
		for _, other := range held {
			if s.at < other.at+driver.Ptr(other.bytes) && other.at < s.at+driver.Ptr(s.bytes) {
				t.Fatalf("%+v overlaps %+v", s, other)
			}
		}
		held = append(held, s)
	}
	for _, s := range held {
		if err := a.release(s); err != nil {
			t.Fatal(err)
		}
	}
	if a.used != 0 || len(a.free) != len(a.chunks) {
		t.Errorf("%d bytes in use, %d free pieces of %d chunks", a.used, len(a.free), len(a.chunks))
	}
	if err := a.close(); err != nil || len(f.sizes) != 0 {
		t.Errorf("%v; the driver still has %v", err, f.sizes)
	}
}

// TestArenaTakesWhatThereIs: where a whole chunk does not fit, only what is needed is taken.
func TestArenaTakesWhatThereIs(t *testing.T) {
	f := newFake(100 << 20)
	a := arena{driver: f}
	if _, err := a.alloc(5 << 20); err != nil || f.allocated != 6<<20 {
		t.Errorf("%v; %d bytes were taken for 5 MiB", err, f.allocated)
	}
}

// TestArenaAlone: with ATHANOR_CUDA_ALONE=1 the driver knows where each piece ends, and has it back at once.
func TestArenaAlone(t *testing.T) {
	t.Setenv(aloneVariable, "1")
	f := newFake(1 << 30)
	d := openFake(t, f)
	x, err := d.Alloc(gpu.F32, 3, 5)
	if err != nil || f.allocated != 60 || d.PeakBytes() != 60 {
		t.Fatalf("%v; %d bytes were taken for 60, %d counted", err, f.allocated, d.PeakBytes())
	}
	d.Free(x)
	if f.allocated != 0 || d.Sync() != nil {
		t.Errorf("%d bytes were kept: %v", f.allocated, d.Sync())
	}
	if _, err = d.Alloc(gpu.F32, 1<<10, 1<<20); !errors.Is(err, gpu.ErrOutOfMemory) {
		t.Errorf("4 GiB of 1: %v", err)
	}
}

func TestOutOfMemory(t *testing.T) {
	f := newFake(3 << 30)
	d := openFake(t, f)
	x, err := d.Alloc(gpu.F32, 1<<10, 1<<19) // 2 GiB
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Alloc(gpu.BF16, 1<<10, 1<<20)
	if !errors.Is(err, gpu.ErrOutOfMemory) {
		t.Fatalf("2 GiB of 1: %v", err)
	}
	for _, part := range []string{"1024×1048576 tensor of bfloat16", "2.0 GiB were asked for", "of the 3.0 GiB of Fake 1", "2.0 GiB are in use", "1.0 GiB are free"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: does not say %q", err, part)
		}
	}
	d.Free(x)
	if _, err = d.Alloc(gpu.BF16, 1<<10, 1<<20); err != nil || d.Sync() != nil {
		t.Errorf("after the memory was given back: %v", err)
	}
	// What operators use as they run may not fit either: then the fault is of that kind.
	d.reserve(&d.scratch[partialSums], 2<<30)
	if err := d.Sync(); !errors.Is(err, gpu.ErrOutOfMemory) {
		t.Errorf("working memory that does not fit: %v", err)
	}
}

// TestFaultIsKept: the first fault is what every later call returns, and nothing more is launched.
func TestFaultIsKept(t *testing.T) {
	f := newFake(1 << 30)
	d := openFake(t, f)
	x, err := d.Alloc(gpu.F32, 4, 8)
	if err != nil {
		t.Fatal(err)
	}
	f.fails = errors.New("an illegal address")
	d.SwiGLU(x, x, x)
	f.fails = errors.New("another")
	n := len(f.launches)
	d.SwiGLU(x, x, x)
	if len(f.launches) != n {
		t.Error("a kernel was launched after the fault")
	}
	d.Read(make([]float32, 32), x)
	err = d.Sync()
	if err == nil || !strings.Contains(err.Error(), "kernel swiglu_f32: an illegal address") {
		t.Errorf("Sync: %v", err)
	}
	if _, e := d.Alloc(gpu.F32, 1, 1); !errors.Is(e, err) {
		t.Errorf("Alloc: %v", e)
	}
	if _, e := d.SumSquares([]gpu.Tensor{x}); !errors.Is(e, err) {
		t.Errorf("SumSquares: %v", e)
	}
	stream, host := &gpu.Stream{IDs: make([]int32, 4), Targets: make([]int32, 4)}, make([]float64, 4)
	if e := d.LMHead(host, nil, x, x, stream, 1); !errors.Is(e, err) {
		t.Errorf("LMHead: %v", e)
	}
	if e := d.LMHeadLoss(host, host, x, x, x, x, stream, 1, nil); !errors.Is(e, err) {
		t.Errorf("LMHeadLoss: %v", e)
	}
	if e := d.Sample(make([]int32, 4), host, x, make([]gpu.Draw, 4)); !errors.Is(e, err) {
		t.Errorf("Sample: %v", e)
	}
}

func TestLateFault(t *testing.T) {
	f := newFake(1 << 30)
	d := openFake(t, f)
	f.late = errors.New("an illegal address")
	if err := d.Sync(); err == nil || !strings.Contains(err.Error(), "CUDA_LAUNCH_BLOCKING=1") {
		t.Errorf("Sync: %v", err)
	}
	t.Setenv(blockingVariable, "1")
	d = openFake(t, f)
	x, err := d.Alloc(gpu.BF16, 4, 8)
	if err != nil {
		t.Fatal(err)
	}
	d.SwiGLU(x, x, x)
	if err := d.Sync(); err == nil || !strings.Contains(err.Error(), "kernel swiglu_bf16") {
		t.Errorf("Sync, every launch having waited: %v", err)
	}
}

func TestSupported(t *testing.T) {
	err := supported(driver.Properties{Name: "Tesla T4", Major: 7, Minor: 5})
	if err == nil || !strings.Contains(err.Error(), "Tesla T4 has compute capability 7.5") {
		t.Errorf("7.5: %v", err)
	}
	for _, p := range []driver.Properties{{Major: 8}, {Major: 8, Minor: 9}, {Major: 9}, {Major: 12, Minor: 1}} {
		if err := supported(p); err != nil {
			t.Errorf("%d.%d: %v", p.Major, p.Minor, err)
		}
	}
}

// TestProductsOfNothing: cuBLASLt has none.
func TestProductsOfNothing(t *testing.T) {
	f := newFake(1 << 30)
	d := openFake(t, f)
	var x [3]gpu.Tensor
	for i, shape := range [][2]int{{0, 8}, {0, 4}, {8, 4}} {
		var err error
		if x[i], err = d.Alloc(gpu.BF16, shape[0], shape[1]); err != nil {
			t.Fatal(err)
		}
	}
	dw, err := d.Alloc(gpu.F32, 8, 4)
	if err != nil {
		t.Fatal(err)
	}
	d.Linear(x[0], x[1], x[2], gpu.Tensor{})
	d.LinearBackwardInput(x[1], x[0], x[2], gpu.Tensor{})
	d.LinearBackwardWeight(dw, x[0], x[1])
	if len(f.products) > 0 {
		t.Errorf("%+v", f.products)
	}
}

// TestStreamIsSentOnce: the lists of a stream go to the GPU when they change, not with every operator.
func TestStreamIsSentOnce(t *testing.T) {
	f := newFake(1 << 30)
	d := openFake(t, f)
	s := &gpu.Stream{}
	s.Append([]int32{3, 1, 2}, []int32{1, 2, gpu.NoTarget}, 0)
	x, err := d.Alloc(gpu.BF16, 3, 8)
	if err != nil {
		t.Fatal(err)
	}
	r := &gpu.Rope{HeadSize: 4, InvFreq: []float64{1, 0.1}, Scale: 1}
	d.Rope(x, r, s, false)
	sent := d.staging.used
	d.Rope(x, r, s, true)
	if d.staging.used != sent {
		t.Error("the same positions were sent again")
	}
	s.Positions[1]++
	d.Rope(x, r, s, false)
	if d.staging.used == sent {
		t.Error("other positions were not sent")
	}
}

// TestLossesAndLogitsOverlap: while the host finds the losses of a chunk of tokens, the GPU has the next chunk's logits to compute.
func TestLossesAndLogitsOverlap(t *testing.T) {
	const N, D, V = 300, 8, 16
	f := newFake(1 << 30)
	d := openFake(t, f)
	d.logitBytes = 1 // 128 tokens at a time
	var x [3]gpu.Tensor
	for i, rows := range []int{N, N, V} {
		var err error
		if x[i], err = d.Alloc(gpu.BF16, rows, D); err != nil {
			t.Fatal(err)
		}
	}
	s := &gpu.Stream{IDs: make([]int32, N), Targets: make([]int32, N)}
	loss := func(int, float64, float64) (float64, float64) {
		if last := len(f.order) - 1; f.order[last] != "loss" {
			f.order = append(f.order, "loss")
		}
		return 1, 0
	}
	if err := d.LMHeadLoss(make([]float64, N), make([]float64, N), x[0], gpu.Tensor{}, x[1], x[2], s, 1, loss); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(f.order, func(name string) bool { return strings.Contains(name, "_rows_") })
	want := []string{
		"lmhead_forward", "lmhead_forward", "wait", "loss", "lmhead_backward_bf16",
		"lmhead_forward", "wait", "loss", "lmhead_backward_bf16", "wait", "loss", "lmhead_backward_bf16",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestStagingWaits: a segment of pinned memory is filled again only when the GPU has read it.
func TestStagingWaits(t *testing.T) {
	f := newFake(1 << 30)
	d := openFake(t, f)
	x, err := d.Alloc(gpu.F32, segmentCount, segmentSize/4)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, x.Len())
	d.Write(x, values)
	if f.waits != 0 {
		t.Errorf("%d waits before the first segment comes round again", f.waits)
	}
	d.Write(x, values)
	if f.waits < segmentCount-1 {
		t.Errorf("%d waits for %d segments", f.waits, segmentCount)
	}
}

// TestTilesWithTheMostWorkComeFirst: late tiles have many keys, early ones many queries.
func TestTilesWithTheMostWorkComeFirst(t *testing.T) {
	for late, want := range map[bool][]int32{
		true:  {0, 70, 64, 0, 0, 70, 32, 0, 70, 110, 102, 0, 0, 70, 0, 0, 70, 110, 70, 0},
		false: {0, 70, 0, 0, 70, 110, 70, 0, 0, 70, 32, 0, 70, 110, 102, 0, 0, 70, 64, 0},
	} {
		l := tileList{starts: []int32{0, 70, 110, 110}, tile: 32, lateFirst: late}
		l.cut()
		if !slices.Equal(l.items, want) {
			t.Errorf("late first: %v: %v, want %v", late, l.items, want)
		}
	}
}
