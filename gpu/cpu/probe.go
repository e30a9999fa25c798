package cpu

import "athanor/gpu"

// Probe keeps every worker of dev, which Open returned, busy with n rounds of multiplications and additions within
// registers, and returns how many operations these were in all. Timed by the caller it is the limit of arithmetic that
// the machine has at that moment.
func Probe(dev gpu.Device, n int) (operations float64) {
	d := dev.(*device)
	d.pool.run(len(d.workers), probePhase{d, n})
	return float64(d.kernels.Probe(1)) * float64(n) * float64(len(d.workers))
}

// probePhase is one tile per worker.
type probePhase struct {
	device *device
	rounds int
}

func (p probePhase) tile(int, int) { p.device.kernels.Probe(p.rounds) }
