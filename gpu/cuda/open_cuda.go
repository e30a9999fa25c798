//go:build cuda && !cudaemu

package cuda

import (
	"athanor/gpu/cuda/internal/driver"
	"athanor/gpu/cuda/internal/nvidia"
	"athanor/gpu/cuda/kernels"
)

func available() bool {
	p, err := nvidia.Probe(0)
	return err == nil && supported(p) == nil
}

func openDriver(index int) (driver.Driver, error) {
	return nvidia.Open(index, func(p driver.Properties) ([]byte, error) {
		if err := supported(p); err != nil {
			return nil, err
		}
		return kernels.Image(p.Major, p.Minor)
	})
}
