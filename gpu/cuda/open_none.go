//go:build !cuda && !cudaemu

package cuda

import (
	"errors"

	"athanor/gpu/cuda/internal/driver"
)

// Built tells whether this binary can open GPUs at all.
const Built = false

func openDriver(int) (driver.Driver, error) {
	return nil, errors.New("this build has no CUDA: build it with `CGO_ENABLED=1 go install -tags cuda ./engine`, which needs a C " +
		"compiler and cuda.h of CUDA 11 or 12 (CGO_CFLAGS=-I… says where), or use --device cpu")
}
