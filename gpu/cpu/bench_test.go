package cpu

import (
	"fmt"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"

	"athanor/gpu"
	"athanor/gpu/gputest"
)

// BenchmarkOperators measures every operator at the shapes of whole models.
func BenchmarkOperators(b *testing.B) { gputest.Bench(b, Open, gpu.F32) }

// BenchmarkGemm measures the three products of a linear layer, each beside the machine's limit at that moment.
func BenchmarkGemm(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, s := range []struct{ n, i, o int }{
			{2048, 128, 128}, {4096, 256, 256}, {4096, 256, 1024}, {4096, 1024, 256}, {4096, 384, 384}, {2048, 384, 1536},
			{2048, 1536, 384}, {4096, 384, 4096}, {1024, 1024, 1024},
		} {
			b.Run(fmt.Sprintf("threads=%d/N=%d,I=%d,O=%d", threads, s.n, s.i, s.o), func(b *testing.B) {
				d := open(b, threads)
				x, w, y := random(b, d, s.n, s.i), random(b, d, s.o, s.i), random(b, d, s.n, s.o)
				flops := 2 * float64(s.n) * float64(s.i) * float64(s.o)
				b.Run("forward", func(b *testing.B) {
					d.measure(b, flops, func() { d.Linear(y, x, w, gpu.Tensor{}) })
				})
				b.Run("input", func(b *testing.B) {
					d.measure(b, flops, func() { d.LinearBackwardInput(x, y, w, gpu.Tensor{}) })
				})
				b.Run("weight", func(b *testing.B) {
					d.measure(b, flops, func() { d.LinearBackwardWeight(w, y, x) })
				})
			})
		}
	}
}

// BenchmarkPrecisions measures the same products in both precisions, in turn, on one thread and by the time that it was
// running: "ratio" is how many times faster the median one is in bfloat16.
func BenchmarkPrecisions(b *testing.B) {
	for _, s := range []struct{ n, i, o int }{
		{2048, 128, 128}, {4096, 384, 384}, {2048, 384, 1536}, {2048, 1536, 384}, {2048, 768, 768}, {2048, 768, 2048},
		{4096, 384, 4096}, {1024, 1024, 1024},
	} {
		b.Run(fmt.Sprintf("N=%d,I=%d,O=%d", s.n, s.i, s.o), func(b *testing.B) {
			d := open(b, 1)
			if d.kernels.Pairs == nil {
				b.Skip("no products of bfloat16")
			}
			x, w, y := random(b, d, s.n, s.i), random(b, d, s.o, s.i), random(b, d, s.n, s.o)
			flops := 2 * float64(s.n) * float64(s.i) * float64(s.o)
			b.Run("forward", func(b *testing.B) {
				d.compare(b, flops, func() { d.Linear(y, x, w, gpu.Tensor{}) })
			})
			b.Run("input", func(b *testing.B) {
				d.compare(b, flops, func() { d.LinearBackwardInput(x, y, w, gpu.Tensor{}) })
			})
			b.Run("weight", func(b *testing.B) {
				d.compare(b, flops, func() { d.LinearBackwardWeight(w, y, x) })
			})
		})
	}
}

// compare reports the median speed of a call in each precision.
func (d testDevice) compare(b *testing.B, flops float64, call func()) {
	took := map[gpu.Precision][]float64{}
	for range b.N {
		for _, p := range []gpu.Precision{gpu.Float32, gpu.BFloat16} {
			if err := d.SetPrecision(p); err != nil {
				b.Fatal(err)
			}
			start := running()
			call()
			took[p] = append(took[p], running()-start)
		}
	}
	median := func(p gpu.Precision) float64 {
		slices.Sort(took[p])
		return took[p][len(took[p])/2]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(flops/median(gpu.Float32)/1e9, "GFLOP/s")
	b.ReportMetric(flops/median(gpu.BFloat16)/1e9, "bfloat16")
	b.ReportMetric(median(gpu.Float32)/median(gpu.BFloat16), "ratio")
}

// running is how many seconds this process has been running.
func running() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

// BenchmarkStep measures whole training steps: the six operations per token and weight of a matrix that nobody can do
// without, those of attention not counted.
func BenchmarkStep(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, c := range []struct {
			name string
			shape
		}{
			{"1M", shape{4096, 256, 4, 128, 4, 2, 32, 352, 2048}},
			{"2M", shape{4096, 256, 5, 160, 5, 5, 32, 448, 4096}},
			{"12M", shape{4096, 256, 6, 384, 6, 6, 64, 1024, 4096}},
		} {
			d := open(b, threads)
			for _, p := range d.Precisions() {
				b.Run(fmt.Sprintf("threads=%d/%s/%s", threads, c.name, p), func(b *testing.B) {
					if err := d.SetPrecision(p); err != nil {
						b.Fatal(err)
					}
					s := newStep(b, d, c.shape)
					s.measure(b, 6*float64(c.parameters())*float64(c.tokens), s.run)
				})
			}
		}
	}
}

const probeRounds = 100_000

// measure reports the speed of a call, and of the probe, both being run in turn: the fastest of each, as other load on
// the machine can only slow them down.
func (d testDevice) measure(b *testing.B, flops float64, call func()) {
	call()
	limit := float64(d.kernels.Probe(1) * probeRounds * len(d.workers))
	called, probed := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range b.N {
		start := time.Now()
		call()
		between := time.Now()
		d.pool.run(len(d.workers), probePhase{d.device, probeRounds})
		called = min(called, between.Sub(start))
		probed = min(probed, time.Since(between))
	}
	speed, ceiling := flops/called.Seconds()/1e9, limit/probed.Seconds()/1e9
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(speed, "GFLOP/s")
	b.ReportMetric(ceiling, "probe")
	b.ReportMetric(speed/ceiling, "share")
}
