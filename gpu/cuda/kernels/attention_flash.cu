// Causal attention within segments on tensor cores: bf16, head sizes 64 and 128 (arXiv 2205.14135, 2307.08691).
//
// A block of 4 warps takes a tile of 64·M rows: queries, or for dk and dv keys. A warp has 16·M rows of it to itself, its
// sums in registers, so that softmax and products of its rows need no other warp. The block goes through tiles of the
// other side, in order; while the warps work on one, the next is copied to the other half of the buffer.
//
// A lane's part of 16×8 sums: with g = lane/4 and t = lane%4, columns 2t and 2t+1 of row g, then of row g+8.
//
// The backward is in two passes, each of which computes the scores anew: one sums dq over keys, one sums dk and dv over
// queries. That is 7 products instead of 5, but every sum has one owner, so no atomic operations, and the same bits.
#include "flash.cuh"

namespace flash {

// keyBehind tells of element i of a lane's four, in sums whose first row is the query and whose first column is the key
// given, whether its key stands behind its query: such a pair does not exist.
__device__ __forceinline__ bool keyBehind(int query, int key, int i) {
	const int lane = threadIdx.x % 32;
	return key + 2 * (lane % 4) + i % 2 > query + lane / 4 + 8 * (i / 2);
}

// queryBefore is the same where rows are keys and columns queries.
__device__ __forceinline__ bool queryBefore(int query, int key, int i) {
	const int lane = threadIdx.x % 32;
	return query + 2 * (lane % 4) + i % 2 < key + lane / 4 + 8 * (i / 2);
}

// Over the four lanes of a row.
__device__ __forceinline__ float rowMax(float x) {
	x = fmaxf(x, __shfl_xor_sync(allLanes, x, 1));
	return fmaxf(x, __shfl_xor_sync(allLanes, x, 2));
}
__device__ __forceinline__ float rowSum(float x) {
	x += __shfl_xor_sync(allLanes, x, 1);
	return x + __shfl_xor_sync(allLanes, x, 2);
}

// An Online is the softmax of a warp's rows so far (arXiv 1805.02867): maxima in the units of the scores, and this
// lane's share of the sums. scale holds log₂e too.
template <int M>
struct Online {
	float most[M][2], sum[M][2];

	__device__ __forceinline__ Online() {
		UNROLL
		for (int m = 0; m < M; m++) {
			UNROLL
			for (int r = 0; r < 2; r++) most[m][r] = minusInfinity(), sum[m][r] = 0;
		}
	}

	// step turns scores into exponentials, and scales what was summed before to the new maximum. Maxima change ever more
	// seldom, so a warp in which none did leaves its sums alone: the factor would be 1.
	template <int N, int columns>
	__device__ __forceinline__ void step(float (&s)[M][N][4], float (&sums)[M][columns][4], float scale) {
		UNROLL
		for (int m = 0; m < M; m++) {
			float correction[2];
			UNROLL
			for (int r = 0; r < 2; r++) {
				float top = most[m][r];
				UNROLL
				for (int n = 0; n < N; n++) top = fmaxf(top, fmaxf(s[m][n][2 * r], s[m][n][2 * r + 1]));
				top = rowMax(top);
				correction[r] = exp2Fast((most[m][r] - top) * scale);
				most[m][r] = top;
				const float shift = top * scale;
				float added = 0;
				UNROLL
				for (int n = 0; n < N; n++) {
					UNROLL
					for (int i = 2 * r; i < 2 * r + 2; i++) {
						s[m][n][i] = exp2Fast(s[m][n][i] * scale - shift);
						added += s[m][n][i];
					}
				}
				sum[m][r] = sum[m][r] * correction[r] + added;
			}
			if (__ballot_sync(allLanes, correction[0] != 1 || correction[1] != 1) == 0) continue;
			UNROLL
			for (int e = 0; e < columns; e++) {
				UNROLL
				for (int i = 0; i < 4; i++) sums[m][e][i] *= correction[i / 2];
			}
		}
	}
};

template <int E, int M, int columns, int part>
__device__ __forceinline__ void forward(bf16* out, float* lse, const bf16* q, const bf16* k, const bf16* v,
                                        const int4* work, int H, int G, float scale) {
	constexpr int rows = 64 * M;
	DYNAMIC_SHARED(bf16, shared);
	const Tile<E> Q = {shared};
	auto K = [=](int j) { return Tile<E>{shared + (rows + j % 2 * columns) * E}; };
	auto V = [=](int j) { return Tile<E>{shared + (rows + (2 + j % 2) * columns) * E}; };
	const Item item(work);
	const int h = blockIdx.y, g = h / (H / G), own = threadIdx.x / 32 * 16 * M, query = item.first + own;
	const int tiles = (min(item.first + rows, item.end) - item.start + columns - 1) / columns;
	auto load = [=](int j) {
		K(j).template load<columns>(k, item.start + j * columns, item.end, G, g);
		V(j).template load<columns>(v, item.start + j * columns, item.end, G, g);
	};

	float o[M][E / 8][4] = {};
	Online<M> softmax;
	Q.template load<rows>(q, item.first, item.end, H, h);
	load(0);
	commitCopies();
	for (int j = 0; j < tiles; j++) {
		waitCopies<0>();
		__syncthreads(); // the copies of all threads are there, and tile j−1 is no longer read
		if (j + 1 < tiles) load(j + 1);
		commitCopies();
		UNROLL_BY(1)
		for (int c = 0; c < columns; c += part) {
			const int key = item.start + j * columns + c;
			if (key > query + 16 * M - 1) break;
			float s[M][part / 8][4] = {};
			products(s, Q, own, K(j).from(c));
			if (key + part - 1 > query) {
				UNROLL
				for (int m = 0; m < M; m++) {
					UNROLL
					for (int n = 0; n < part / 8; n++) {
						UNROLL
						for (int i = 0; i < 4; i++) {
							if (keyBehind(query + 16 * m, key + 8 * n, i)) s[m][n][i] = minusInfinity();
						}
					}
				}
			}
			softmax.step(s, o, scale * log2e);
			accumulate(o, s, V(j).from(c));
		}
	}

	UNROLL
	for (int m = 0; m < M; m++) {
		float inverse[2];
		UNROLL
		for (int r = 0; r < 2; r++) {
			const float sum = rowSum(softmax.sum[m][r]);
			const int n = query + 16 * m + threadIdx.x % 32 / 4 + 8 * r;
			inverse[r] = 1 / sum;
			if (threadIdx.x % 4 == 0 && n < item.end) {
				lse[static_cast<long long>(n) * H + h] = softmax.most[m][r] * scale + logf(sum);
			}
		}
		Q.stage(o[m], own + 16 * m, inverse[0], inverse[1]); // nobody else reads these rows
	}
	Q.template save<16 * M>(out, own, item.first, item.end, H, h);
}

template <int E, int M, int columns, int part>
__device__ __forceinline__ void backwardQueries(bf16* dq, const bf16* dOut, const float* lse, const float* delta,
                                                const bf16* q, const bf16* k, const bf16* v, const int4* work, int H,
                                                int G, float scale) {
	constexpr int rows = 64 * M;
	DYNAMIC_SHARED(bf16, shared);
	const Tile<E> Q = {shared}, dO = {shared + rows * E};
	auto K = [=](int j) { return Tile<E>{shared + (2 * rows + j % 2 * columns) * E}; };
	auto V = [=](int j) { return Tile<E>{shared + (2 * rows + (2 + j % 2) * columns) * E}; };
	const Item item(work);
	const int h = blockIdx.y, g = h / (H / G), own = threadIdx.x / 32 * 16 * M, query = item.first + own;
	const int tiles = (min(item.first + rows, item.end) - item.start + columns - 1) / columns;
	auto load = [=](int j) {
		K(j).template load<columns>(k, item.start + j * columns, item.end, G, g);
		V(j).template load<columns>(v, item.start + j * columns, item.end, G, g);
	};

	Q.template load<rows>(q, item.first, item.end, H, h);
	dO.template load<rows>(dOut, item.first, item.end, H, h);
	load(0);
	commitCopies();
	float logSum[M][2], mean[M][2]; // of this lane's rows; logSum in units of log₂
	UNROLL
	for (int m = 0; m < M; m++) {
		UNROLL
		for (int r = 0; r < 2; r++) {
			const int n = query + 16 * m + threadIdx.x % 32 / 4 + 8 * r;
			const long long at = static_cast<long long>(n) * H + h;
			logSum[m][r] = n < item.end ? lse[at] * log2e : 0;
			mean[m][r] = n < item.end ? delta[at] : 0;
		}
	}
	float sums[M][E / 8][4] = {};
	for (int j = 0; j < tiles; j++) {
		waitCopies<0>();
		__syncthreads();
		if (j + 1 < tiles) load(j + 1);
		commitCopies();
		UNROLL_BY(1)
		for (int c = 0; c < columns; c += part) {
			const int key = item.start + j * columns + c;
			if (key > query + 16 * M - 1) break;
			float s[M][part / 8][4] = {}, dp[M][part / 8][4] = {};
			products(s, Q, own, K(j).from(c));
			products(dp, dO, own, V(j).from(c));
			const bool masked = key + part - 1 > query;
			UNROLL
			for (int m = 0; m < M; m++) {
				UNROLL
				for (int n = 0; n < part / 8; n++) {
					UNROLL
					for (int i = 0; i < 4; i++) {
						const float p = exp2Fast(s[m][n][i] * (scale * log2e) - logSum[m][i / 2]);
						s[m][n][i] = p * (dp[m][n][i] - mean[m][i / 2]);
						if (masked && keyBehind(query + 16 * m, key + 8 * n, i)) s[m][n][i] = 0;
					}
				}
			}
			accumulate(sums, s, K(j).from(c));
		}
	}
	UNROLL
	for (int m = 0; m < M; m++) Q.stage(sums[m], own + 16 * m, scale, scale);
	Q.template save<16 * M>(dq, own, item.first, item.end, H, h);
}

// Here the rows are keys and the columns queries. Behind the segment's end, queries and dOut are 0, and so is what they
// add; lse and delta stand in shared memory behind the tiles.
template <int E, int M, int columns, int part>
__device__ __forceinline__ void backwardKeys(bf16* dk, bf16* dv, const bf16* dOut, const float* lse, const float* delta,
                                             const bf16* q, const bf16* k, const bf16* v, const int4* work, int H, int G,
                                             float scale) {
	constexpr int rows = 64 * M;
	DYNAMIC_SHARED(bf16, shared);
	const Tile<E> K = {shared}, V = {shared + rows * E};
	auto Q = [=](int j) { return Tile<E>{shared + (2 * rows + j % 2 * columns) * E}; };
	auto dO = [=](int j) { return Tile<E>{shared + (2 * rows + (2 + j % 2) * columns) * E}; };
	float* statistics = reinterpret_cast<float*>(shared + (2 * rows + 4 * columns) * E); // [2][lse, delta][columns]
	const Item item(work);
	const int g = blockIdx.y, own = threadIdx.x / 32 * 16 * M, key = item.first + own, t = 2 * (threadIdx.x % 4);
	const int tiles = (item.end - item.first + columns - 1) / columns, total = tiles * (H / G);
	auto load = [=](int j) {
		const int h = g * (H / G) + j / tiles, n = item.first + j % tiles * columns;
		Q(j).template load<columns>(q, n, item.end, H, h);
		dO(j).template load<columns>(dOut, n, item.end, H, h);
		const int i = threadIdx.x % columns;
		if (threadIdx.x >= 2 * columns) return;
		const bool valid = n + i < item.end;
		const float* from = threadIdx.x < columns ? lse : delta;
		const long long at = static_cast<long long>(valid ? n + i : 0) * H + h;
		copyAsync4(statistics + j % 2 * 2 * columns + threadIdx.x, from + at, valid);
	};

	K.template load<rows>(k, item.first, item.end, G, g);
	V.template load<rows>(v, item.first, item.end, G, g);
	load(0);
	commitCopies();
	float dKeys[M][E / 8][4] = {}, dValues[M][E / 8][4] = {};
	for (int j = 0; j < total; j++) {
		waitCopies<0>();
		__syncthreads();
		if (j + 1 < total) load(j + 1);
		commitCopies();
		UNROLL_BY(1)
		for (int c = 0; c < columns; c += part) {
			const int query = item.first + j % tiles * columns + c;
			if (query + part - 1 < key) continue;
			const float *logSums = statistics + j % 2 * 2 * columns + c, *means = logSums + columns;
			float s[M][part / 8][4] = {}, dp[M][part / 8][4] = {};
			products(s, K, own, Q(j).from(c));
			const bool masked = query < key + 16 * M - 1;
			UNROLL
			for (int n = 0; n < part / 8; n++) {
				const float2 logSum = *reinterpret_cast<const float2*>(logSums + 8 * n + t);
				UNROLL
				for (int m = 0; m < M; m++) {
					UNROLL
					for (int i = 0; i < 4; i++) {
						s[m][n][i] = exp2Fast(s[m][n][i] * (scale * log2e) - (i % 2 ? logSum.y : logSum.x) * log2e);
						if (masked && queryBefore(query + 8 * n, key + 16 * m, i)) s[m][n][i] = 0;
					}
				}
			}
			accumulate(dValues, s, dO(j).from(c));
			products(dp, V, own, dO(j).from(c));
			UNROLL
			for (int n = 0; n < part / 8; n++) {
				const float2 mean = *reinterpret_cast<const float2*>(means + 8 * n + t);
				UNROLL
				for (int m = 0; m < M; m++) {
					UNROLL
					for (int i = 0; i < 4; i++) dp[m][n][i] = s[m][n][i] * (dp[m][n][i] - (i % 2 ? mean.y : mean.x));
				}
			}
			accumulate(dKeys, dp, Q(j).from(c));
		}
	}
	UNROLL
	for (int m = 0; m < M; m++) {
		K.stage(dKeys[m], own + 16 * m, scale, scale);
		V.stage(dValues[m], own + 16 * m, 1, 1);
	}
	K.template save<16 * M>(dk, own, item.first, item.end, G, g);
	V.template save<16 * M>(dv, own, item.first, item.end, G, g);
}

} // namespace flash

// The kernels of one head size. M rows by 64 make the tile of a block; columns of the other side are copied at a time, and a
// part of those worked on at a time, as many as the registers hold beside the sums. E is passed for the plain kernels' sake.
#define ATTENTION_FLASH_FORWARD(E, M, columns, part)                                                                   \
	extern "C" __global__ void __launch_bounds__(128) attention_e##E##_bf16(                                           \
	    bf16* out, float* lse, const bf16* q, const bf16* k, const bf16* v, const int4* work, int H, int G, int,       \
	    float scale) {                                                                                                 \
		flash::forward<E, M, columns, part>(out, lse, q, k, v, work, H, G, scale);                                     \
	}                                                                                                                  \
	KERNEL(attention_e##E##_bf16)
#define ATTENTION_FLASH_DQ(E, M, columns, part)                                                                        \
	extern "C" __global__ void __launch_bounds__(128) attention_dq_e##E##_bf16(                                        \
	    bf16* dq, const bf16* dOut, const float* lse, const float* delta, const bf16* q, const bf16* k, const bf16* v, \
	    const int4* work, int H, int G, int, float scale) {                                                            \
		flash::backwardQueries<E, M, columns, part>(dq, dOut, lse, delta, q, k, v, work, H, G, scale);                 \
	}                                                                                                                  \
	KERNEL(attention_dq_e##E##_bf16)
#define ATTENTION_FLASH_DKV(E, M, columns, part)                                                                       \
	extern "C" __global__ void __launch_bounds__(128) attention_dkv_e##E##_bf16(                                       \
	    bf16* dk, bf16* dv, const bf16* dOut, const float* lse, const float* delta, const bf16* q, const bf16* k,      \
	    const bf16* v, const int4* work, int H, int G, int, float scale) {                                             \
		flash::backwardKeys<E, M, columns, part>(dk, dv, dOut, lse, delta, q, k, v, work, H, G, scale);                \
	}                                                                                                                  \
	KERNEL(attention_dkv_e##E##_bf16)

ATTENTION_FLASH_FORWARD(64, 2, 64, 64);
ATTENTION_FLASH_FORWARD(128, 2, 64, 32);
ATTENTION_FLASH_DQ(64, 2, 64, 32);
ATTENTION_FLASH_DQ(128, 2, 32, 16);
ATTENTION_FLASH_DKV(64, 2, 32, 32);
ATTENTION_FLASH_DKV(128, 1, 64, 32);
