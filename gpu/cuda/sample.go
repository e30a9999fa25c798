package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

var _ gpu.Sampler = (*device)(nil)

const (
	sampleThreads  = 512
	sampleShared   = 8 * sampleThreads * (8 + 2)    // a weight and a count for each thread and each of 8 digits
	mostVocabulary = sampleThreads * math.MaxUint16 // a thread counts tokens in 16 bits
)

// Sample draws one token from each row of logits.
func (d *device) Sample(ids []int32, logp []float64, logits gpu.Tensor, draws []gpu.Draw) error {
	n, V := logits.Rows, logits.Cols
	if len(ids) != n || len(logp) != n || len(draws) != n {
		panic(fmt.Sprintf("cuda: Sample: %d ids, %d logp and %d draws for %d rows of logits", len(ids), len(logp), len(draws), n))
	}
	if V == 0 || V > mostVocabulary {
		panic(fmt.Sprintf("cuda: Sample: a vocabulary of %d", V))
	}
	at := d.typed("Sample", "logits", logits, gpu.F32, -1, -1)
	if n == 0 || d.fault != nil {
		return d.fault
	}
	settings := d.reserve(&d.scratch[drawSettings], int64(32*n))
	d.send(settings, 4*n, 8, func(to []byte, i int) { binary.LittleEndian.PutUint64(to, drawSetting(draws[i/4], i%4, V)) })
	results := d.reserve(&d.scratch[hostResults], int64(16*n))
	d.launch(driver.Launch{
		Kernel: "sample", Grid: [3]int{n, 1, 1}, Block: [3]int{sampleThreads, 1, 1}, Shared: sampleShared,
		Args: []uint64{pointer(results), pointer(at), integer(V), pointer(settings)},
	})
	d.receive(results, 2*n, func(i int, v float64) {
		if i%2 == 0 {
			ids[i/2] = int32(v)
		} else {
			logp[i/2] = v
		}
	})
	return d.fault
}

// drawSetting is one of the four cells in which the kernel takes a draw: temperature, top-p, which is 2 for all, uniform
// number, and top-k, which is V for all.
func drawSetting(d gpu.Draw, cell, V int) uint64 {
	switch cell {
	case 0:
		return math.Float64bits(d.Temperature)
	case 1:
		if d.TopP > 0 && d.TopP < 1 {
			return math.Float64bits(d.TopP)
		}
		return math.Float64bits(2)
	case 2:
		return math.Float64bits(d.Uniform)
	}
	if d.TopK > 0 && d.TopK < V {
		return long(d.TopK)
	}
	return long(V)
}
