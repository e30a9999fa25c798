package simd

import "golang.org/x/sys/cpu"

// available returns what this processor and its operating system can run.
func available() []*Kernels {
	x := &cpu.X86
	var sets []*Kernels
	if x.HasAVX512BF16 && x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasFMA {
		sets = append(sets, &setAVX512BF16)
	}
	if x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasFMA {
		sets = append(sets, &setAVX512)
	}
	if x.HasAVX2 && x.HasFMA {
		sets = append(sets, &setAVX2)
	}
	return append(sets, &portable)
}

var (
	setAVX512BF16 = withPairs(setAVX512, "avx512bf16", &assemblyBF16)

	setAVX512 = assemblyAVX512.kernels("avx512", 16, 14)
	setAVX2   = assemblyAVX2.kernels("avx2", 8, 6)
)
