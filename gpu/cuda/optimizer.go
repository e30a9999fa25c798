package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

const (
	optimizerChunk   = 16384 // elements that a block takes; the kernels have the same number
	optimizerThreads = 256
)

// A cell is 8 bytes of a tensor's description as the kernels read it.
type cells []uint64

// AdamW applies decoupled AdamW (arXiv 1711.05101, algorithm 2) to every tensor, all in one launch.
func (d *device) AdamW(tensors []gpu.AdamWTensor, h gpu.AdamWStep) {
	list, blocks := d.descriptions[:0], 0
	for i := range tensors {
		t := &tensors[i]
		n := t.Weight.Len()
		if n == 0 {
			continue
		}
		list = append(list, d.adamTensor(t, n)...)
		list = append(list, long(n), long(blocks), float(t.LR)|float(t.Decay)<<32, 0)
		blocks += (n + optimizerChunk - 1) / optimizerChunk
	}
	d.descriptions = list
	if blocks == 0 {
		return
	}
	const words = 9
	at := d.describe(list)
	step := float64(h.Step)
	d.launch(driver.Launch{
		Kernel: "adamw", Grid: [3]int{blocks, 1, 1}, Block: [3]int{optimizerThreads, 1, 1},
		Args: []uint64{
			pointer(at), integer(len(list) / words), float(h.Beta1), float(1 - h.Beta1), float(h.Beta2), float(1 - h.Beta2),
			float(1 / (1 - math.Pow(h.Beta1, step))), float(1 / (1 - math.Pow(h.Beta2, step))), float(h.Eps), float(h.GradScale),
		},
	})
}

// adamTensor is the addresses of a tensor of n elements and of what belongs to it.
func (d *device) adamTensor(t *gpu.AdamWTensor, n int) cells {
	operand := func(name string, x gpu.Tensor, of gpu.DType) uint64 {
		if x.Len() != n {
			panic(fmt.Sprintf("cuda: AdamW: %s has %d elements, not %d", name, x.Len(), n))
		}
		return pointer(d.typed("AdamW", name, x, of, -1, -1))
	}
	master := uint64(0)
	if !t.Master.IsZero() {
		master = operand("Master", t.Master, gpu.F32)
	}
	if (master != 0) != (t.Weight.Type == gpu.BF16) {
		panic("cuda: AdamW: a bfloat16 weight has a float32 master beside it, a float32 weight has none")
	}
	return cells{
		operand("Weight", t.Weight, t.Weight.Type), master, operand("Grad", t.Grad, gpu.F32), operand("M", t.M, gpu.F32), operand("V", t.V, gpu.F32),
	}
}

// SumSquares is Σ g² over all the tensors, each chunk in float64.
func (d *device) SumSquares(tensors []gpu.Tensor) (float64, error) {
	list, blocks := d.descriptions[:0], 0
	for _, t := range tensors {
		at := d.typed("SumSquares", "tensor", t, gpu.F32, -1, -1)
		if t.Len() > 0 {
			list = append(list, pointer(at), long(t.Len()), long(blocks))
			blocks += (t.Len() + optimizerChunk - 1) / optimizerChunk
		}
	}
	d.descriptions = list
	if blocks == 0 || d.fault != nil {
		return 0, d.fault
	}
	at := d.describe(list)
	partial := d.reserve(&d.scratch[partialSums], int64(8*(blocks+1)))
	sum := partial + driver.Ptr(8*blocks)
	d.launch(driver.Launch{
		Kernel: "sum_squares", Grid: [3]int{blocks, 1, 1}, Block: [3]int{optimizerThreads, 1, 1},
		Args: []uint64{pointer(partial), pointer(at), integer(len(list) / 3)},
	})
	d.launch(driver.Launch{
		Kernel: "sum_partials", Grid: [3]int{1, 1, 1}, Block: [3]int{1024, 1, 1},
		Args: []uint64{pointer(sum), pointer(partial), long(blocks)},
	})
	total := 0.0
	d.receive(sum, 1, func(_ int, v float64) { total = v })
	return total, d.fault
}

// describe sends descriptions of tensors.
func (d *device) describe(list cells) driver.Ptr {
	at := d.reserve(&d.scratch[tensorList], int64(8*len(list)))
	d.send(at, len(list), 8, func(to []byte, i int) { binary.LittleEndian.PutUint64(to, list[i]) })
	return at
}
