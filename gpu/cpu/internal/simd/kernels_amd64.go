package simd

func available() []*Kernels { return []*Kernels{&portable} }
