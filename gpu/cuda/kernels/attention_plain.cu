// Causal attention within segments for float32 and for any head size, without tensor cores: what the conformance suite
// and small models use. attention_flash.cu has the fast path. The algorithm is FlashAttention's (arXiv 2205.14135), with
// the backward in two passes so that no sum needs an atomic operation.
//
// A block of 128 threads takes a tile of 32 rows: queries, or for dk and dv keys. It goes through the tiles of the other
// side in order. Thread t works on row t/4 and on every fourth column of scores and of the head, from t%4 on.
#include "device.cuh"

namespace plain {

constexpr int tile = 32;
constexpr int scoreStride = tile + 1; // a column of padding against bank conflicts

// A Tile is 32 rows of one head in shared memory, as float32, with zeros behind the segment's end.
struct Tile {
	float* rows;
	int stride;

	__device__ __forceinline__ float* row(int i) const { return rows + i * stride; }

	template <class T>
	__device__ __forceinline__ void load(const T* from, int first, int end, int heads, int head, int E) const {
		for (int i = threadIdx.x; i < tile * E; i += blockDim.x) {
			const int r = i / E, e = i % E;
			const long long at = (static_cast<long long>(first + r) * heads + head) * E + e;
			rows[r * stride + e] = first + r < end ? toFloat(from[at]) : 0.0f;
		}
	}

	__device__ __forceinline__ void clear() const {
		for (int i = threadIdx.x; i < tile * stride; i += blockDim.x) rows[i] = 0;
	}

	// save writes row i, which the four threads of a row share.
	template <class T>
	__device__ __forceinline__ void save(T* to, int first, int end, int heads, int head, int E, float scale) const {
		const int i = threadIdx.x / 4;
		if (first + i >= end) return;
		T* out = to + (static_cast<long long>(first + i) * heads + head) * E;
		for (int e = threadIdx.x % 4; e < E; e += 4) store(out + e, row(i)[e] * scale);
	}
};

// A Carver hands out shared memory.
struct Carver {
	float* next;
	int stride;
	__device__ __forceinline__ Tile rows() {
		Tile t = {next, stride};
		next += tile * stride;
		return t;
	}
	__device__ __forceinline__ float* scores() {
		float* s = next;
		next += tile * scoreStride;
		return s;
	}
};

__device__ __forceinline__ float dot(const float* a, const float* b, int E) {
	float sum = 0;
	for (int e = 0; e < E; e++) sum += a[e] * b[e];
	return sum;
}

// addProduct adds scores [tile] · rows to a row, the thread's elements of it.
__device__ __forceinline__ void addProduct(float* row, const float* scores, const Tile& rows, int E) {
	for (int e = threadIdx.x % 4; e < E; e += 4) {
		float sum = row[e];
		for (int j = 0; j < tile; j++) sum += scores[j] * rows.row(j)[e];
		row[e] = sum;
	}
}

// Among four threads of a row.
__device__ __forceinline__ float rowMax(float x) {
	x = fmaxf(x, __shfl_xor_sync(allLanes, x, 1));
	return fmaxf(x, __shfl_xor_sync(allLanes, x, 2));
}
__device__ __forceinline__ float rowSum(float x) {
	x += __shfl_xor_sync(allLanes, x, 1);
	return x + __shfl_xor_sync(allLanes, x, 2);
}

template <class T>
__device__ __forceinline__ void forward(T* out, float* lse, const T* q, const T* k, const T* v, const int4* work, int H,
                                        int G, int E, float scale) {
	DYNAMIC_SHARED(float, shared);
	Carver carve = {shared, E + 1};
	const Tile Q = carve.rows(), K = carve.rows(), V = carve.rows(), O = carve.rows();
	float* S = carve.scores();
	const int4 item = work[blockIdx.x];
	const int start = item.x, end = item.y, first = item.z, h = blockIdx.y, g = h / (H / G);
	const int i = threadIdx.x / 4, part = threadIdx.x % 4, n = first + i;
	float most = minusInfinity(), sum = 0;
	Q.load(q, first, end, H, h, E);
	O.clear();
	for (int m = start; m <= first; m += tile) {
		__syncthreads();
		K.load(k, m, end, G, g, E);
		V.load(v, m, end, G, g, E);
		__syncthreads();
		float scores[tile / 4], before = most;
		UNROLL
		for (int c = 0; c < tile / 4; c++) {
			const int j = part + 4 * c;
			scores[c] = m + j <= n ? dot(Q.row(i), K.row(j), E) * scale : minusInfinity();
			most = fmaxf(most, scores[c]);
		}
		most = rowMax(most);
		const float correction = expf(before - most);
		sum *= correction;
		UNROLL
		for (int c = 0; c < tile / 4; c++) {
			const float p = expf(scores[c] - most);
			S[i * scoreStride + part + 4 * c] = p;
			sum += p;
		}
		for (int e = part; e < E; e += 4) O.row(i)[e] *= correction;
		__syncwarp();
		addProduct(O.row(i), S + i * scoreStride, V, E);
	}
	sum = rowSum(sum);
	O.save(out, first, end, H, h, E, 1 / sum);
	if (part == 0 && n < end) lse[static_cast<long long>(n) * H + h] = most + logf(sum);
}

// dq[n] = Σ ds[m]·k[m]/√E with ds = p·(dOut·v − delta), p = exp(score − lse) and delta = dOut·out (arXiv 2307.08691, B).
template <class T>
__device__ __forceinline__ void backwardQueries(T* dq, const T* dOut, const float* lse, const float* delta, const T* q,
                                                const T* k, const T* v, const int4* work, int H, int G, int E,
                                                float scale) {
	DYNAMIC_SHARED(float, shared);
	Carver carve = {shared, E + 1};
	const Tile Q = carve.rows(), dO = carve.rows(), K = carve.rows(), V = carve.rows(), dQ = carve.rows();
	float* dS = carve.scores();
	const int4 item = work[blockIdx.x];
	const int start = item.x, end = item.y, first = item.z, h = blockIdx.y, g = h / (H / G);
	const int i = threadIdx.x / 4, part = threadIdx.x % 4, n = first + i;
	Q.load(q, first, end, H, h, E);
	dO.load(dOut, first, end, H, h, E);
	dQ.clear();
	const long long at = static_cast<long long>(n) * H + h;
	const float logSum = n < end ? lse[at] : 0, own = n < end ? delta[at] : 0;
	for (int m = start; m <= first; m += tile) {
		__syncthreads();
		K.load(k, m, end, G, g, E);
		V.load(v, m, end, G, g, E);
		__syncthreads();
		UNROLL
		for (int c = 0; c < tile / 4; c++) {
			const int j = part + 4 * c;
			float ds = 0;
			if (m + j <= n && n < end) {
				const float p = expf(dot(Q.row(i), K.row(j), E) * scale - logSum);
				ds = p * (dot(dO.row(i), V.row(j), E) - own);
			}
			dS[i * scoreStride + j] = ds;
		}
		__syncwarp();
		addProduct(dQ.row(i), dS + i * scoreStride, K, E);
		__syncwarp();
	}
	dQ.save(dq, first, end, H, h, E, scale);
}

// dv[m] = Σ p·dOut[n] and dk[m] = Σ ds·q[n]/√E over the queries n ≥ m of the segment and over the heads that read g.
template <class T>
__device__ __forceinline__ void backwardKeys(T* dk, T* dv, const T* dOut, const float* lse, const float* delta,
                                             const T* q, const T* k, const T* v, const int4* work, int H, int G, int E,
                                             float scale) {
	DYNAMIC_SHARED(float, shared);
	Carver carve = {shared, E + 1};
	const Tile K = carve.rows(), V = carve.rows(), Q = carve.rows(), dO = carve.rows();
	const Tile dK = carve.rows(), dV = carve.rows();
	float *P = carve.scores(), *dS = carve.scores();
	const int4 item = work[blockIdx.x];
	const int end = item.y, first = item.z, g = blockIdx.y;
	const int i = threadIdx.x / 4, part = threadIdx.x % 4, m = first + i;
	K.load(k, first, end, G, g, E);
	V.load(v, first, end, G, g, E);
	dK.clear();
	dV.clear();
	for (int h = g * (H / G); h < (g + 1) * (H / G); h++) {
		for (int n = first; n < end; n += tile) {
			__syncthreads();
			Q.load(q, n, end, H, h, E);
			dO.load(dOut, n, end, H, h, E);
			__syncthreads();
			UNROLL
			for (int c = 0; c < tile / 4; c++) {
				const int j = part + 4 * c;
				float p = 0, ds = 0;
				if (m <= n + j && n + j < end) {
					const long long at = static_cast<long long>(n + j) * H + h;
					p = expf(dot(Q.row(j), K.row(i), E) * scale - lse[at]);
					ds = p * (dot(dO.row(j), V.row(i), E) - delta[at]);
				}
				P[i * scoreStride + j] = p;
				dS[i * scoreStride + j] = ds;
			}
			__syncwarp();
			addProduct(dV.row(i), P + i * scoreStride, dO, E);
			addProduct(dK.row(i), dS + i * scoreStride, Q, E);
			__syncwarp();
		}
	}
	dK.save(dk, first, end, G, g, E, scale);
	dV.save(dv, first, end, G, g, E, 1);
}

// delta[n, h] = dOut[n, h]·out[n, h], a warp for each of the rows.
template <class T>
__device__ __forceinline__ void rowProducts(float* delta, const T* dOut, const T* out, long long rows, int E) {
	const long long row = static_cast<long long>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
	if (row >= rows) return;
	float sum = 0;
	for (int e = threadIdx.x % 32; e < E; e += 32) sum += toFloat(dOut[row * E + e]) * toFloat(out[row * E + e]);
	sum = warpSum(sum);
	if (threadIdx.x % 32 == 0) delta[row] = sum;
}

} // namespace plain

// The kernels of one type. E is any head size whose tiles fit in shared memory.
#define ATTENTION_PLAIN(suffix, T)                                                                                     \
	extern "C" __global__ void __launch_bounds__(128) attention_##suffix(                                              \
	    T* out, float* lse, const T* q, const T* k, const T* v, const int4* work, int H, int G, int E, float scale) {  \
		plain::forward(out, lse, q, k, v, work, H, G, E, scale);                                                       \
	}                                                                                                                  \
	KERNEL(attention_##suffix);                                                                                        \
	extern "C" __global__ void __launch_bounds__(128) attention_dq_##suffix(                                           \
	    T* dq, const T* dOut, const float* lse, const float* delta, const T* q, const T* k, const T* v,                \
	    const int4* work, int H, int G, int E, float scale) {                                                          \
		plain::backwardQueries(dq, dOut, lse, delta, q, k, v, work, H, G, E, scale);                                   \
	}                                                                                                                  \
	KERNEL(attention_dq_##suffix);                                                                                     \
	extern "C" __global__ void __launch_bounds__(128) attention_dkv_##suffix(                                          \
	    T* dk, T* dv, const T* dOut, const float* lse, const float* delta, const T* q, const T* k, const T* v,         \
	    const int4* work, int H, int G, int E, float scale) {                                                          \
		plain::backwardKeys(dk, dv, dOut, lse, delta, q, k, v, work, H, G, E, scale);                                  \
	}                                                                                                                  \
	KERNEL(attention_dkv_##suffix);                                                                                    \
	extern "C" __global__ void attention_delta_##suffix(float* delta, const T* dOut, const T* out, long long rows,     \
	                                                    int E) {                                                       \
		plain::rowProducts(delta, dOut, out, rows, E);                                                                 \
	}                                                                                                                  \
	KERNEL(attention_delta_##suffix)

ATTENTION_PLAIN(f32, float);
ATTENTION_PLAIN(bf16, bf16);
