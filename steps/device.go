package steps

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/gpu/cuda"
)

// Offers lists what a device can do about an attribute of steps that depends on it (hcl:"machine"), the best first. The
// only one so far is precision.
func Offers(device, attribute string) ([]string, error) {
	if attribute != "precision" {
		return nil, fmt.Errorf("no device says anything of %q", attribute)
	}
	d, err := OpenDevice(device, 1)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, p := range d.Precisions() {
		list = append(list, string(p))
	}
	return list, d.Close()
}

// DeviceInfo describes a device.
func DeviceInfo(device string) (gpu.Info, error) {
	d, err := OpenDevice(device, 1)
	if err != nil {
		return gpu.Info{}, err
	}
	return d.Info(), d.Close()
}

// ResolveDevice says what "auto" stands for: the first GPU in a build with CUDA on a machine that has one, else the CPU.
// Other names are as they are. Whoever plans or runs several steps asks once, so that all run on one kind of device.
func ResolveDevice(name string) string {
	if name != "" && name != "auto" {
		return name
	}
	if cuda.Available() {
		return "cuda"
	}
	return "cpu"
}

// OpenDevice opens a device by its name on the command line: "auto", "cpu", or "cuda" with an optional index. threads
// is for the CPU; 0 means one per core. The bits of a result never depend on it.
func OpenDevice(name string, threads int) (gpu.Device, error) {
	switch kind, index, indexed := strings.Cut(ResolveDevice(name), ":"); {
	case kind == "cuda":
		n := 0
		if indexed {
			var err error
			if n, err = strconv.Atoi(index); err != nil || n < 0 {
				return nil, fmt.Errorf("no device is called %q: GPUs are counted from 0, as in cuda:1", name)
			}
		}
		return cuda.Open(n)
	case kind == "cpu" && !indexed:
		return cpu.Open(threads)
	}
	return nil, fmt.Errorf("no device is called %q: use auto, cpu or cuda, or cuda:1 for the second GPU", name)
}

// Peak is how many operations on float32 numbers per second the device can do at this moment, measured in some 50 ms of
// arithmetic on registers alone, as threads that slept may share a processor at first; 0 if the device has no such measure.
func Peak(dev gpu.Device) float64 {
	if dev.Info().Kind != "cpu" {
		return 0
	}
	const trials, least = 10, 4 * time.Millisecond
	best := 0.0
	for rounds, n := 1000, 0; n < trials; {
		began := time.Now()
		operations := cpu.Probe(dev, rounds)
		took := time.Since(began)
		if took < least {
			rounds *= 2
			continue
		}
		best = max(best, operations/took.Seconds())
		n++
	}
	return best
}
