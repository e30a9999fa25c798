package cuda

import (
	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// Open opens the GPU of an index, counted from 0. It fails without a driver, without such a GPU, with one that is too old,
// and in a build that has no CUDA.
func Open(index int) (gpu.Device, error) {
	d, err := openDriver(index)
	if err != nil {
		return nil, err
	}
	return newDevice(d)
}

var _ func(int) (driver.Driver, error) = openDriver // each build has one
