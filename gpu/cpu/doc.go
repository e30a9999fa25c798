// Package cpu runs the operators of package gpu on the processor, in float32, and large products in bfloat16 where that is
// asked for.
//
// Start at [Open]. One file holds one family of operators, forward beside backward; the inner loops are in
// internal/simd, once in plain Go and once in assembly for each instruction set. Open picks the best set that the
// processor can run; the environment variable ATHANOR_CPU forces one of portable, avx2, avx512 and avx512bf16.
//
// # Partition
//
// An operator is one or more phases. A phase is a number of tiles; the workers of a [pool] take tiles as they become
// free, and the next phase begins when all are done. A tile writes only what is its own. Where tiles contribute to one
// sum, each leaves a partial sum, these are added in order, and the cut into tiles follows from the shapes alone. So
// the bits of a result depend neither on the number of workers nor on their timing.
//
// The parameters of a running operator are the fields of a struct that is part of the device, and every buffer is kept
// for the next call: after the first step of a training, a step allocates nothing.
//
// # Matrix products
//
// Every product of many rows goes through gemm: B is packed, by all workers, into panels of NR columns, and is then
// shared; a tile of C takes its rows of A as they lie, or packs them into panels of MR rows, and runs the micro-kernel
// down each column of register tiles. An element of C is one chain of fused additions for every 512 or fewer steps of
// the depth, in whatever tile it is. Attention and the language-model head use the same panels with their own loops around them,
// so that scores live in a worker's cache, logits are there when their exponentials are taken, and neither are in memory as a
// whole. Attention has micro-kernels of its own: its operands are rows or columns of what lies in memory, all but keys and
// values that are to be turned, and it asks for halves of tiles and for triangles too, as a causal product ends anywhere.
//
// In the precision bfloat16 the same code works on pairs of numbers instead of numbers: packing rounds them, panels are
// half as deep, and the micro-kernel multiplies pairs (simd.Pairs). Attention stays float32.
package cpu
