// The emulator: what CUDA C++ means to g++, for one block at a time.
//
// Every thread of a block is a fiber with a stack of its own on one thread of the operating system. A fiber runs until
// it must wait at a barrier; then another that can run takes over, chosen by a seeded generator. So two runs with other
// seeds order the threads between two barriers differently, and a kernel that lacks a barrier gives other results. In half
// of all launches any thread may be next; in the others mostly one of the same warp, so that a warp writes what others have
// yet to read.
//
// Operations of a warp (shuffles, votes, matrix loads and products) wait for all 32 lanes; a lane that is missing, or
// that is at another operation, is reported as an error of the launch. Copies by cp.async happen at once or no
// sooner than they are waited for, chosen by the seed.
//
// Not emulated: time, caches, bank conflicts, and lanes that run in lock step. Kernels use only what stands here and in
// gpu/cuda/kernels/device.cuh.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static thread_local
#define UNROLL
#define UNROLL_BY(n)

struct uint3 { unsigned x, y, z; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };

inline int2 make_int2(int x, int y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

namespace emu {

constexpr int kWarp = 32;

// One copy that cp.async has been asked for and that nobody has waited for.
struct Copy {
	void* to;
	const void* from;
	int bytes, zeros; // zeros follow the bytes
	int group;        // number of the commit that closes its group
};

struct Warp;

// A thread of the block.
struct Thread {
	uint3 index;
	int lane;
	Warp* warp;
	unsigned collectives; // operations of the warp that this lane has begun
	int committed;        // groups of copies
	int copies;
	Copy pending[64];
};

enum class Op { sync, shuffle, vote, loadMatrix, product };

// A warp: the lanes that wait for the operation under way, and what they brought to it. There are two of each, used
// in turn: a lane may begin the next operation while another has not yet read the result of the last.
struct Warp {
	int arrived;
	Op op;
	Thread* waiting[kWarp];
	uint64_t value[2][kWarp];
	const void* row[2][kWarp];
	struct Product {
		unsigned a[4], b[2];
		float c[4];
	} product[2][kWarp];
	unsigned matrix[2][kWarp][4];
};

extern thread_local Thread* self;
extern thread_local uint3 blockIndex, gridSize, blockSize;
extern thread_local unsigned char* dynamicShared;

void syncBlock();
void copyAsync(void* to, const void* from, int bytes, int zeros);
void commitCopies();
void waitCopies(int groupsLeft);
void loadMatrix(unsigned* r, int count, const void* row, bool transposed);
void multiply(float* d, const unsigned* a, const unsigned* b, const float* c);

// arrive enters an operation of the warp. It returns false at once for the lane that completes it, which then does the
// work for all and calls release; for the others it returns true when that has happened.
bool arrive(Op op);
void release();

inline void syncWarp() {
	if (!arrive(Op::sync)) release();
}

template <class T>
T shuffle(unsigned mask, T value, int source, Op op = Op::shuffle) {
	static_assert(sizeof(T) <= 8, "a shuffle moves 8 bytes at most");
	(void)mask;
	auto& slots = self->warp->value[self->collectives & 1];
	std::memcpy(&slots[self->lane], &value, sizeof value);
	if (!arrive(op)) release();
	std::memcpy(&value, &slots[source & (kWarp - 1)], sizeof value);
	return value;
}

// Kernels by name, filled by the macro KERNEL.
using Invoke = void (*)(void** args);
void enter(const char* name, Invoke invoke);

template <class T>
T argument(void* cell) {
	static_assert(std::is_pointer<T>::value || std::is_same<T, int>::value || std::is_same<T, long long>::value ||
	                  std::is_same<T, float>::value,
	              "a kernel takes pointers, int, long long and float");
	T value;
	std::memcpy(&value, cell, sizeof value);
	return value;
}

template <class... A, std::size_t... I>
void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
	kernel(argument<A>(args[I])...);
}
template <class... A>
void call(void (*kernel)(A...), void** args) {
	call(kernel, args, std::index_sequence_for<A...>{});
}

struct Entry {
	Entry(const char* name, Invoke invoke) { enter(name, invoke); }
};

} // namespace emu

#define KERNEL(name) static emu::Entry entry_##name(#name, [](void** args) { emu::call(name, args); })
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emu::dynamicShared)

#define threadIdx (emu::self->index)
#define blockIdx (emu::blockIndex)
#define blockDim (emu::blockSize)
#define gridDim (emu::gridSize)

inline void __syncthreads() { emu::syncBlock(); }
inline void __syncwarp(unsigned = 0xffffffffu) { emu::syncWarp(); }
template <class T> T __shfl_sync(unsigned m, T v, int source) { return emu::shuffle(m, v, source); }
template <class T> T __shfl_xor_sync(unsigned m, T v, int x) { return emu::shuffle(m, v, emu::self->lane ^ x); }
template <class T> T __shfl_down_sync(unsigned m, T v, int d) {
	int source = emu::self->lane + d;
	return emu::shuffle(m, v, source < emu::kWarp ? source : emu::self->lane);
}
unsigned __ballot_sync(unsigned mask, int predicate);

inline float __uint_as_float(unsigned v) { float f; std::memcpy(&f, &v, 4); return f; }
inline unsigned __float_as_uint(float v) { unsigned u; std::memcpy(&u, &v, 4); return u; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline void sincospif(float x, float* sine, float* cosine) {
	*sine = static_cast<float>(std::sin(3.141592653589793238 * x));
	*cosine = static_cast<float>(std::cos(3.141592653589793238 * x));
}
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }

// What follows stands for PTX instructions that gpu/cuda/kernels/device.cuh wraps.

inline void copyAsync16(void* shared, const void* global, bool valid) {
	emu::copyAsync(shared, global, valid ? 16 : 0, valid ? 0 : 16);
}
inline void copyAsync4(void* shared, const void* global, bool valid) {
	emu::copyAsync(shared, global, valid ? 4 : 0, valid ? 0 : 4);
}
inline void commitCopies() { emu::commitCopies(); }
template <int left> void waitCopies() { emu::waitCopies(left); }
inline void loadMatrices(unsigned (&r)[4], const void* row) { emu::loadMatrix(r, 4, row, false); }
inline void loadMatricesTransposed(unsigned (&r)[4], const void* row) { emu::loadMatrix(r, 4, row, true); }
inline void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
	const unsigned b[2] = {b0, b1};
	emu::multiply(d, a, b, d);
}
inline float exp2Fast(float x) { return std::exp2(x); }

// roundToBF16 rounds to nearest, ties to even; a NaN becomes the one NaN that the hardware gives.
inline unsigned short roundToBF16(float x) {
	unsigned bits = __float_as_uint(x);
	if (x != x) return 0x7fff;
	return static_cast<unsigned short>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline unsigned packBF16(float low, float high) {
	return roundToBF16(low) | static_cast<unsigned>(roundToBF16(high)) << 16;
}
