package cpu

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"athanor/gpu"
	"athanor/gpu/cpu/internal/simd"
)

// A device is the processor. Each operator that runs in phases has its parameters in a field of its own.
type device struct {
	kernels *simd.Kernels
	pool    *pool
	workers []worker
	memory  memory
	pairs   bool // products are of bfloat16

	gemm     gemm
	embed    embed
	norm     norm
	rope     rope
	swiglu   swiglu
	attend   attention
	attendBP attentionBackward
	head     lmHead
	adamw    adamW
	squares  sumSquares
	decode   decode
}

// A worker is what one goroutine of the pool has to itself. An operator reserves what its tiles will use, for all
// workers, before any tile runs.
type worker struct {
	a, edge   []float32 // gemm: packed rows of A, and a tile that overhangs C
	panel     []float32 // gemm: a panel of B that this worker packs for itself
	pairs     []float32 // packPairsPanel: rounded rows
	scores    []float32 // attention: a block of scores; lmHead: logits
	q, o      []float32 // attention: queries, and sums of values
	keys      []float32 // attention: packed keys
	values    []float32 // attention: packed values
	packed    groupSpan // attention: whose these are
	col       []float32 // attention: numbers per query
	gradients attentionScratch
	_         [64]byte // workers do not share cache lines
}

// pathVariable is the environment variable that forces a code path.
const pathVariable = "ATHANOR_CPU"

// reserve makes a buffer of every worker at least n elements long.
func (d *device) reserve(n int, buffer func(*worker) *[]float32) {
	for i := range d.workers {
		grow(buffer(&d.workers[i]), n)
	}
}

// Open returns the CPU as a device with the given number of worker threads; 0 means one per core. It fails if
// ATHANOR_CPU asks for instructions that this processor lacks.
func Open(threads int) (gpu.Device, error) {
	if threads < 0 {
		return nil, fmt.Errorf("cpu: %d threads: give a positive number, or 0 for one per core", threads)
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	kernels, err := simd.Select(os.Getenv(pathVariable))
	if err != nil {
		return nil, fmt.Errorf("cpu: %s: %w", pathVariable, err)
	}
	d := &device{kernels: kernels, pool: newPool(threads), workers: make([]worker, threads)}
	d.memory = memory{limit: totalMemory(), mapped: map[*buffer]struct{}{}}
	d.gemm.device, d.embed.device, d.norm.device, d.rope.device, d.swiglu.device = d, d, d, d, d
	d.attend.device, d.attendBP.device, d.head.device, d.adamw.device, d.squares.device = d, d, d, d, d
	d.decode.device = d
	return d, nil
}

// Info describes the processor and the code path chosen.
func (d *device) Info() gpu.Info {
	return gpu.Info{
		Kind:    "cpu",
		Name:    fmt.Sprintf("%s (%s)", processorName(), d.kernels.Name),
		Threads: len(d.workers),
		Memory:  d.memory.limit,
	}
}

// Precisions lists what this processor can do, the fastest first.
func (d *device) Precisions() []gpu.Precision {
	switch p := d.kernels.Pairs; {
	case p == nil:
		return []gpu.Precision{gpu.Float32}
	case p.Fast:
		return []gpu.Precision{gpu.BFloat16, gpu.Float32}
	}
	return []gpu.Precision{gpu.Float32, gpu.BFloat16}
}

// SetPrecision holds for the products that follow.
func (d *device) SetPrecision(p gpu.Precision) error {
	if !slices.Contains(d.Precisions(), p) {
		return fmt.Errorf("cpu: this processor (%s) does not multiply in precision %q, only in %v", d.kernels.Name, p, d.Precisions())
	}
	d.pairs = p == gpu.BFloat16
	return nil
}

// Storage is float32 in every precision: products round what they read.
func (d *device) Storage(gpu.Precision) gpu.DType { return gpu.F32 }

// Close ends the workers and frees all tensors. The device must not be used afterwards.
func (d *device) Close() error {
	d.pool.close()
	for b := range d.memory.mapped {
		d.memory.free(b)
	}
	return nil
}
