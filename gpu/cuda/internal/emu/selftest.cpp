//go:build cudaemu

// Kernels that show what the emulator does: emu_test.go launches them.
#include "../../kernels/device.cuh"

// Each thread of a block writes a number and reads that of the thread before it, with and without a barrier between.
extern "C" __global__ void emu_neighbour(int* out, int barrier) {
	DYNAMIC_SHARED(int, shared);
	shared[threadIdx.x] = threadIdx.x;
	if (barrier) __syncthreads();
	out[blockIdx.x * blockDim.x + threadIdx.x] = shared[(threadIdx.x + blockDim.x - 1) % blockDim.x];
}
KERNEL(emu_neighbour);

// Every thread reads a number; then each warp, when its lanes have met some times, writes another there, with and without a
// barrier between.
extern "C" __global__ void emu_overtake(int* out, int barrier) {
	DYNAMIC_SHARED(int, shared);
	if (threadIdx.x == 0) shared[0] = 1;
	__syncthreads();
	out[threadIdx.x] = shared[0];
	if (barrier) __syncthreads();
	for (int i = 0; i < 20; i++) __syncwarp();
	if (threadIdx.x % 32 == 0) shared[0] = 2;
}
KERNEL(emu_overtake);

// As emu_neighbour within a warp.
extern "C" __global__ void emu_lane(int* out, int barrier) {
	DYNAMIC_SHARED(int, shared);
	shared[threadIdx.x] = threadIdx.x;
	if (barrier) __syncwarp();
	out[threadIdx.x] = shared[threadIdx.x ^ 1];
}
KERNEL(emu_lane);

// A copy by cp.async of 16 bytes per thread, read with and without waiting for it.
extern "C" __global__ void emu_copy(int* out, const int* in, int wait) {
	DYNAMIC_SHARED(int, shared);
	copyAsync16(shared + 4 * threadIdx.x, in + 4 * threadIdx.x, threadIdx.x % 2 == 0);
	commitCopies();
	if (wait) waitCopies<0>();
	for (int i = 0; i < 4; i++) out[4 * threadIdx.x + i] = shared[4 * threadIdx.x + i];
	waitCopies<0>();
}
KERNEL(emu_copy);

// Per lane: what it gets from lane 5, from lane^3, from the lane 7 above, and the votes of the odd lanes.
extern "C" __global__ void emu_warp(int* out) {
	const int x = 10 * threadIdx.x;
	out[4 * threadIdx.x] = __shfl_sync(allLanes, x, 5);
	out[4 * threadIdx.x + 1] = __shfl_xor_sync(allLanes, x, 3);
	out[4 * threadIdx.x + 2] = __shfl_down_sync(allLanes, x, 7);
	out[4 * threadIdx.x + 3] = static_cast<int>(__ballot_sync(allLanes, threadIdx.x % 2));
}
KERNEL(emu_warp);

// Half of a block waits at a barrier, the other at a shuffle, or it ends.
extern "C" __global__ void emu_divergent(int* out, int ends) {
	if (threadIdx.x % 2 == 0) __syncthreads();
	else if (!ends) out[0] = __shfl_xor_sync(allLanes, out[0], 1);
}
KERNEL(emu_divergent);

// d [16, 8] = a [16, 16] · b, both bf16 and row-major: b [16, 8], or transposed bᵀ [8, 16].
extern "C" __global__ void emu_product(float* d, const bf16* a, const bf16* b, int transposed) {
	DYNAMIC_SHARED(bf16, shared); // a, then b in rows of 16 elements
	const int lane = threadIdx.x, g = lane / 4, t = 2 * (lane % 4);
	for (int i = lane; i < 256; i += 32) shared[i] = a[i];
	for (int i = lane; i < 256; i += 32) shared[256 + i].bits = 0;
	__syncwarp();
	for (int i = lane; i < 128; i += 32) shared[256 + (transposed ? i : i / 8 * 16 + i % 8)] = b[i];
	__syncwarp();
	unsigned left[4], right[4];
	loadMatrices(left, shared + (lane & 15) * 16 + 8 * (lane >> 4));
	if (transposed) loadMatrices(right, shared + 256 + (lane & 7) * 16 + 8 * (lane >> 3 & 1));
	else loadMatricesTransposed(right, shared + 256 + (lane & 15) * 16);
	float sums[4] = {};
	multiply(sums, left, right[0], right[1]);
	for (int i = 0; i < 4; i++) d[(g + 8 * (i / 2)) * 8 + t + i % 2] = sums[i];
}
KERNEL(emu_product);

// An argument of each kind.
extern "C" __global__ void emu_arguments(double* out, int a, long long b, float c) {
	if (threadIdx.x == 0 && blockIdx.x == 0) out[0] = a, out[1] = static_cast<double>(b), out[2] = c;
	if (threadIdx.x == 0) out[3 + blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z)] = blockDim.x;
}
KERNEL(emu_arguments);

// Rounded to bf16: by roundToBF16, and by packBF16 as the upper of two.
extern "C" __global__ void emu_round(float* out, const float* in) {
	out[2 * threadIdx.x] = toFloat(bf16{roundToBF16(in[threadIdx.x])});
	out[2 * threadIdx.x + 1] = __uint_as_float(packBF16(0, in[threadIdx.x]) & 0xffff0000u);
}
KERNEL(emu_round);
