//go:build !amd64

package simd

// available is where a NEON set for arm64 would come first.
func available() []*Kernels { return []*Kernels{&portable} }
