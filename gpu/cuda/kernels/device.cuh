// What all kernels share: number formats, loads of 16 bytes, reductions, and the instructions that CUDA C++ has no name
// for. With ATHANOR_EMULATOR defined, the emulator (gpu/cuda/internal/emu) stands for the compiler's part.
#pragma once

#ifdef ATHANOR_EMULATOR
#include "emulator.h"
#else

#define UNROLL _Pragma("unroll")
#define PRAGMA(words) _Pragma(#words)
#define UNROLL_BY(n) PRAGMA(unroll n)
#define KERNEL(name) static_assert(true, "the emulator lists its kernels here")
#define DYNAMIC_SHARED(type, name)                                     \
	extern __shared__ __align__(128) unsigned char dynamicShared[]; \
	type* name = reinterpret_cast<type*>(dynamicShared)

__device__ __forceinline__ unsigned sharedAddress(const void* p) {
	return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// copyAsync16 begins a copy of 16 bytes past the registers; zeros where it is not valid, and then nothing is read.
__device__ __forceinline__ void copyAsync16(void* shared, const void* global, bool valid) {
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(sharedAddress(shared)), "l"(global),
	             "r"(valid ? 16 : 0)
	             : "memory");
}
// copyAsync4 is copyAsync16 of 4 bytes.
__device__ __forceinline__ void copyAsync4(void* shared, const void* global, bool valid) {
	asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(sharedAddress(shared)), "l"(global),
	             "r"(valid ? 4 : 0)
	             : "memory");
}
__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
// waitCopies waits until at most so many of the latest groups are under way.
template <int left>
__device__ __forceinline__ void waitCopies() {
	asm volatile("cp.async.wait_group %0;\n" ::"n"(left) : "memory");
}

// loadMatrices is ldmatrix.x4: four 8×8 matrices of 16-bit elements; lane i gives the address of row i%8 of matrix i/8.
__device__ __forceinline__ void loadMatrices(unsigned (&r)[4], const void* row) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(sharedAddress(row))
	             : "memory");
}
__device__ __forceinline__ void loadMatricesTransposed(unsigned (&r)[4], const void* row) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(sharedAddress(row))
	             : "memory");
}

// multiply adds a [16, 16] · b [16, 8] to d [16, 8]: bf16 operands, float32 sums. With g = lane/4 and t = lane%4, a lane
// holds, in pairs of columns (2t, 2t+1): of a, rows g and g+8 of columns 0–7, then of columns 8–15; of b, rows
// (2t, 2t+1) of column g, then those 8 below; of d, row g, then row g+8.
__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
	asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
	    "{%0, %1, %2, %3};\n"
	    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// exp2Fast is 2ˣ to 2 units in the last place; results below 2⁻¹²⁶ become 0.
__device__ __forceinline__ float exp2Fast(float x) {
	float y;
	asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
	return y;
}

__device__ __forceinline__ unsigned short roundToBF16(float x) {
	unsigned short y;
	asm("cvt.rn.bf16.f32 %0, %1;\n" : "=h"(y) : "f"(x));
	return y;
}
__device__ __forceinline__ unsigned packBF16(float low, float high) {
	unsigned y;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(y) : "f"(high), "f"(low));
	return y;
}

#endif // ATHANOR_EMULATOR

// bf16 is the upper half of a float32.
struct bf16 {
	unsigned short bits;
};

__device__ __forceinline__ float toFloat(float x) { return x; }
__device__ __forceinline__ float toFloat(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
__device__ __forceinline__ void store(float* to, float x) { *to = x; }
__device__ __forceinline__ void store(bf16* to, float x) { to->bits = roundToBF16(x); }

// A Vector is 16 bytes of elements of type T on their way between memory and float registers.
template <class T>
struct Vector;

template <>
struct Vector<float> {
	static constexpr int size = 4;
	float x[4];
	__device__ __forceinline__ void load(const float* from) {
		float4 v = *reinterpret_cast<const float4*>(from);
		x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
	}
	__device__ __forceinline__ void save(float* to) const {
		float4 v = {x[0], x[1], x[2], x[3]};
		*reinterpret_cast<float4*>(to) = v;
	}
};

template <>
struct Vector<bf16> {
	static constexpr int size = 8;
	float x[8];
	__device__ __forceinline__ void load(const bf16* from) {
		uint4 v = *reinterpret_cast<const uint4*>(from);
		const unsigned words[4] = {v.x, v.y, v.z, v.w};
		UNROLL
		for (int i = 0; i < 4; i++) {
			x[2 * i] = __uint_as_float(words[i] << 16);
			x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
		}
	}
	__device__ __forceinline__ void save(bf16* to) const {
		uint4 v = {packBF16(x[0], x[1]), packBF16(x[2], x[3]), packBF16(x[4], x[5]), packBF16(x[6], x[7])};
		*reinterpret_cast<uint4*>(to) = v;
	}
};

// Pieces of one element, for rows that cannot be read 16 bytes at a time.
template <class T>
struct Scalar {
	static constexpr int size = 1;
	float x[1];
	__device__ __forceinline__ void load(const T* from) { x[0] = toFloat(*from); }
	__device__ __forceinline__ void save(T* to) const { store(to, x[0]); }
};

// aligned reports whether addresses are multiples of 16. A null pointer is.
__device__ __forceinline__ bool aligned(const void* a, const void* b = nullptr, const void* c = nullptr,
                                        const void* d = nullptr, const void* e = nullptr,
                                        const void* f = nullptr) {
	auto bits = reinterpret_cast<unsigned long long>(a) | reinterpret_cast<unsigned long long>(b) |
	            reinterpret_cast<unsigned long long>(c) | reinterpret_cast<unsigned long long>(d) |
	            reinterpret_cast<unsigned long long>(e) | reinterpret_cast<unsigned long long>(f);
	return bits % 16 == 0;
}

__device__ __forceinline__ float minusInfinity() { return __uint_as_float(0xff800000u); }

constexpr unsigned allLanes = 0xffffffffu;

__device__ __forceinline__ float warpSum(float x) {
	UNROLL
	for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(allLanes, x, lanes);
	return x;
}

__device__ __forceinline__ double warpSum(double x) {
	UNROLL
	for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(allLanes, x, lanes);
	return x;
}

__device__ __forceinline__ float warpMax(float x) {
	UNROLL
	for (int lanes = 16; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(allLanes, x, lanes));
	return x;
}

// blockSum is the sum over a block of at most 1024 threads in x, the same for every thread and in a fixed order.
// scratch holds 32 elements; it may be used again after a barrier.
template <class F>
__device__ __forceinline__ F blockSum(F x, F* scratch) {
	const int warps = blockDim.x / 32;
	x = warpSum(x);
	if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
	__syncthreads();
	F sum = 0;
	for (int i = 0; i < warps; i++) sum += scratch[i];
	return sum;
}

__device__ __forceinline__ float blockMax(float x, float* scratch) {
	const int warps = blockDim.x / 32;
	x = warpMax(x);
	if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
	__syncthreads();
	float most = scratch[0];
	for (int i = 1; i < warps; i++) most = fmaxf(most, scratch[i]);
	return most;
}
