package cpu

import (
	"testing"

	"athanor/gpu/cpu/internal/simd"
	"athanor/gpu/gputest"
)

// TestConformance holds every code path that this machine can run to the specification.
func TestConformance(t *testing.T) {
	for _, k := range simd.Available() {
		t.Run(k.Name, func(t *testing.T) {
			t.Setenv("ATHANOR_CPU", k.Name)
			gputest.Run(t, Open, gputest.Tolerance{F32: 1e-5})
		})
	}
}
