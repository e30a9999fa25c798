package ref_test

import (
	"testing"

	"athanor/gpu"
	"athanor/gpu/gputest"
	"athanor/gpu/ref"
)

// TestConformance holds the specification to its own suite: rounding in Read is all that may differ.
func TestConformance(t *testing.T) {
	open := func(int) (gpu.Device, error) { return ref.Open(), nil }
	gputest.Run(t, open, gputest.Tolerance{F32: 1e-7, BF16: 1e-7})
}
