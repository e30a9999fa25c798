package simd

import (
	"fmt"
	"testing"
)

// BenchmarkPack measures what packs panels, in bytes of the source.
func BenchmarkPack(b *testing.B) {
	const depth = 512
	src, dst := make([]float32, 1<<20), make([]float32, 1<<20)
	for _, k := range Available() {
		for _, rows := range []int{k.MR, k.NR} {
			b.Run(fmt.Sprintf("%s/transpose/%dx%d", k.Name, rows, depth), func(b *testing.B) {
				b.SetBytes(int64(4 * rows * depth))
				for range b.N {
					k.Transpose(dst, rows, src, depth, rows, depth)
				}
			})
			b.Run(fmt.Sprintf("%s/transpose/%dx32", k.Name, rows), func(b *testing.B) {
				b.SetBytes(int64(4 * rows * 32))
				for range b.N {
					k.Transpose(dst, rows, src, depth, rows, 32)
				}
			})
			b.Run(fmt.Sprintf("%s/copy/%dx%d", k.Name, depth, rows), func(b *testing.B) {
				b.SetBytes(int64(4 * rows * depth))
				for range b.N {
					k.Split(dst, 0, rows, rows, src, 272, depth, 1)
				}
			})
		}
	}
}
