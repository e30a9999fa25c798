//go:build !cuda && !cudaemu

package cuda

import (
	"errors"

	"athanor/gpu/cuda/internal/driver"
)

func available() bool { return false }

func openDriver(int) (driver.Driver, error) {
	return nil, errors.New("this build has no CUDA: `CGO_ENABLED=1 go install -tags cuda ./engine` builds one that has, and needs " +
		"a C compiler and cuda.h of CUDA 11 or 12, in CGO_CFLAGS=-I…; or use --device cpu")
}
