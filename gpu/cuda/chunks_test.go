//go:build cuda || cudaemu

package cuda

import "athanor/gpu"

// inChunks opens a device whose head takes the fewest tokens at a time, 128, so that tests with small shapes have several chunks.
func inChunks(open func(int) (gpu.Device, error)) func(int) (gpu.Device, error) {
	return func(index int) (gpu.Device, error) {
		d, err := open(index)
		if err == nil {
			d.(*device).logitBytes = 1
		}
		return d, err
	}
}
