// Package cpu runs the operators of package gpu on the processor.
package cpu

import (
	"errors"

	"athanor/gpu"
)

// Open returns the CPU as a device with the given number of worker threads; 0 means one per core.
func Open(threads int) (gpu.Device, error) {
	return nil, errors.New("cpu: under construction")
}
