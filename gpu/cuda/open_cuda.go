//go:build cuda && !cudaemu

package cuda

import (
	"athanor/gpu/cuda/internal/driver"
	"athanor/gpu/cuda/internal/nvidia"
	"athanor/gpu/cuda/kernels"
)

// Built tells whether this binary can open GPUs at all.
const Built = true

func openDriver(index int) (driver.Driver, error) {
	return nvidia.Open(index, func(p driver.Properties) (string, error) {
		if err := supported(p); err != nil {
			return "", err
		}
		return kernels.Image(p.Major, p.Minor)
	})
}
