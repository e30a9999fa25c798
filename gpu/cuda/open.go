package cuda

import "athanor/gpu"

// Open opens the GPU of an index, counted from 0. It fails without a driver, without such a GPU, with one that is too old,
// and in a build that has no CUDA.
func Open(index int) (gpu.Device, error) {
	d, err := openDriver(index)
	if err != nil {
		return nil, err
	}
	return newDevice(d)
}

// Available reports whether this build has CUDA and this machine a GPU that it can use. It opens nothing.
func Available() bool { return available() }
