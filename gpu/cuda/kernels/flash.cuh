// What forward and backward of attention on tensor cores share: tiles of bf16 in shared memory, and the operands of
// mma.sync m16n8k16 read from them. attention_flash.cu explains the kernels.
#pragma once
#include "device.cuh"

namespace flash {

constexpr int warps = 4, threads = 32 * warps;
constexpr float log2e = 1.4426950408889634f, ln2 = 0.6931471805599453f;

// An Item is one tile of a segment: see the README.
struct Item {
	int start, end, first;
	__device__ __forceinline__ explicit Item(const int4* work) {
		const int4 item = work[blockIdx.x];
		start = item.x, end = item.y, first = item.z;
	}
};

// A Tile is rows of E elements, in chunks of 16 bytes. Chunk c of row r stands at c XOR r%8, so that the same chunk of
// eight rows, which is what ldmatrix reads at a time, lies in eight different groups of banks.
template <int E>
struct Tile {
	bf16* rows;

	__device__ __forceinline__ bf16* at(int row, int chunk) const { return rows + row * E + ((chunk ^ (row & 7)) << 3); }

	// from is the tile without the rows before one that is a multiple of 8.
	__device__ __forceinline__ Tile from(int row) const { return {rows + row * E}; }

	// load begins the copy of count rows of one head, zeros behind the segment's end.
	template <int count>
	__device__ __forceinline__ void load(const bf16* from, int first, int end, int heads, int head) const {
		constexpr int chunks = E / 8, step = threads / chunks; // rows that the block copies at a time
		static_assert(count % step == 0 && step % 8 == 0, "every thread copies as much, to places of one pattern");
		const int row = threadIdx.x / chunks, chunk = threadIdx.x % chunks;
		bf16* to = at(row, chunk);
		from += (static_cast<long long>(first + row) * heads + head) * E + chunk * 8;
		UNROLL
		for (int i = 0; i < count; i += step) {
			copyAsync16(to + i * E, from + static_cast<long long>(i) * heads * E, first + row + i < end);
		}
	}

	// left is the operand a [16, 16] of the rows from row on and of elements 16·k on.
	__device__ __forceinline__ void left(unsigned (&a)[4], int row, int k) const {
		const int lane = threadIdx.x % 32;
		loadMatrices(a, at(row + (lane & 15), 2 * k + (lane >> 4)));
	}

	// right is two operands b [16, 8] of the transposed tile: columns are the rows from row on, and the eight below them;
	// the sum goes over elements 16·k on. The first operand is b[0] and b[1].
	__device__ __forceinline__ void right(unsigned (&b)[4], int row, int k) const {
		const int lane = threadIdx.x % 32;
		loadMatrices(b, at(row + (lane & 7) + ((lane >> 4) << 3), 2 * k + ((lane >> 3) & 1)));
	}

	// rightOf is two operands b [16, 8] of the tile as it is: columns are the elements from 16·e on; the sum goes over the
	// rows from row on.
	__device__ __forceinline__ void rightOf(unsigned (&b)[4], int row, int e) const {
		const int lane = threadIdx.x % 32;
		loadMatricesTransposed(b, at(row + (lane & 15), 2 * e + (lane >> 4)));
	}

	// stage puts a warp's 16 rows of sums, multiplied by scale for rows g and g+8, into the tile as bf16.
	__device__ __forceinline__ void stage(const float (&sums)[E / 8][4], int row, float low, float high) const {
		const int lane = threadIdx.x % 32, g = row + lane / 4, t = 2 * (lane % 4);
		UNROLL
		for (int j = 0; j < E / 8; j++) {
			*reinterpret_cast<unsigned*>(at(g, j) + t) = packBF16(sums[j][0] * low, sums[j][1] * low);
			*reinterpret_cast<unsigned*>(at(g + 8, j) + t) = packBF16(sums[j][2] * high, sums[j][3] * high);
		}
	}

	// save writes count rows from row on, those of one warp, as far as the segment goes.
	template <int count>
	__device__ __forceinline__ void save(bf16* to, int row, int first, int end, int heads, int head) const {
		constexpr int chunks = E / 8;
		__syncwarp();
		UNROLL
		for (int i = 0; i < count * chunks / 32; i++) {
			const int index = threadIdx.x % 32 + 32 * i, r = row + index / chunks, chunk = index % chunks;
			if (first + r >= end) continue;
			bf16* out = to + (static_cast<long long>(first + r) * heads + head) * E + chunk * 8;
			*reinterpret_cast<uint4*>(out) = *reinterpret_cast<const uint4*>(at(r, chunk));
		}
	}
};

// products adds to s [16·M, columns] the products of M·16 rows of a with the rows of b: a·bᵀ over E elements.
template <int E, int M, int N>
__device__ __forceinline__ void products(float (&s)[M][N][4], const Tile<E>& a, int row, const Tile<E>& b) {
	UNROLL
	for (int k = 0; k < E / 16; k++) {
		unsigned left[M][4], right[4];
		UNROLL
		for (int m = 0; m < M; m++) a.left(left[m], row + 16 * m, k);
		UNROLL
		for (int n = 0; n < N / 2; n++) {
			b.right(right, 16 * n, k);
			UNROLL
			for (int m = 0; m < M; m++) {
				multiply(s[m][2 * n], left[m], right[0], right[1]);
				multiply(s[m][2 * n + 1], left[m], right[2], right[3]);
			}
		}
	}
}

// accumulate adds p [16·M, 8·N] · rows of b [8·N, E] to sums. The sums that mma.sync leaves in a lane are, rounded, just
// what it wants as the operand a of the next product.
template <int E, int M, int N>
__device__ __forceinline__ void accumulate(float (&sums)[M][E / 8][4], const float (&p)[M][N][4], const Tile<E>& b) {
	UNROLL
	for (int k = 0; k < N / 2; k++) {
		unsigned left[M][4], right[4];
		UNROLL
		for (int m = 0; m < M; m++) {
			left[m][0] = packBF16(p[m][2 * k][0], p[m][2 * k][1]);
			left[m][1] = packBF16(p[m][2 * k][2], p[m][2 * k][3]);
			left[m][2] = packBF16(p[m][2 * k + 1][0], p[m][2 * k + 1][1]);
			left[m][3] = packBF16(p[m][2 * k + 1][2], p[m][2 * k + 1][3]);
		}
		UNROLL
		for (int e = 0; e < E / 16; e++) {
			b.rightOf(right, 16 * k, e);
			UNROLL
			for (int m = 0; m < M; m++) {
				multiply(sums[m][2 * e], left[m], right[0], right[1]);
				multiply(sums[m][2 * e + 1], left[m], right[2], right[3]);
			}
		}
	}
}

} // namespace flash
