// Rows moved whole: embedding, the gather and scatter of the language-model head, the key/value cache. One block moves
// one row; its threads take pieces of 16 bytes of it where all addresses allow that.
#include "device.cuh"

namespace {

template <class P, class T>
__device__ __forceinline__ void copyPieces(T* out, const T* in, int D) {
	P piece;
	for (int d = threadIdx.x * P::size; d < D; d += blockDim.x * P::size) {
		piece.load(in + d);
		piece.save(out + d);
	}
}

template <class T>
__device__ __forceinline__ void copyRow(T* out, const T* in, int D) {
	if (D % Vector<T>::size == 0 && aligned(out, in)) copyPieces<Vector<T>>(out, in, D);
	else copyPieces<Scalar<T>>(out, in, D);
}

// out[n] = in[index[n]] for the row n of each block.
template <class T>
__device__ __forceinline__ void gatherRows(T* out, const T* in, const int* index, int D) {
	const long long n = blockIdx.x;
	copyRow(out + n * D, in + static_cast<long long>(index[n]) * D, D);
}

// out[index[n]] = in[n] for the row n of each block.
template <class T>
__device__ __forceinline__ void scatterRows(T* out, const T* in, const int* index, int D) {
	const long long n = blockIdx.x;
	copyRow(out + static_cast<long long>(index[n]) * D, in + n * D, D);
}

// Row n of k and v becomes the row slots[n]·capacity + positions[n] of the cache.
template <class T>
__device__ __forceinline__ void cacheStore(T* cacheK, T* cacheV, const T* k, const T* v, const int* slots,
                                           const int* positions, int capacity, int D) {
	const long long n = blockIdx.x, row = static_cast<long long>(slots[n]) * capacity + positions[n];
	copyRow(cacheK + row * D, k + n * D, D);
	copyRow(cacheV + row * D, v + n * D, D);
}

// addTokens adds the rows of one token's places in the stream to its row of dTable, in the order of the stream. Eight
// loads are under way at a time.
template <class P, class T>
__device__ __forceinline__ void addTokens(float* dTable, const T* dOut, const int* order, int from, int to, int D) {
	for (int d = (blockIdx.y * blockDim.x + threadIdx.x) * P::size; d < D; d += gridDim.y * blockDim.x * P::size) {
		float sum[P::size];
		UNROLL
		for (int j = 0; j < P::size; j++) sum[j] = 0;
		P piece;
		UNROLL_BY(8)
		for (int i = from; i < to; i++) {
			piece.load(dOut + static_cast<long long>(order[i]) * D + d);
			UNROLL
			for (int j = 0; j < P::size; j++) sum[j] += piece.x[j];
		}
		UNROLL
		for (int j = 0; j < P::size; j++) dTable[d + j] += sum[j];
	}
}

// order lists the tokens of the stream sorted by id, those of one id in the order of the stream; blockIdx.x = u adds
// those from starts[u] to starts[u+1], whose id is ids[u]. So no two blocks write one row, and sums have an order.
template <class T>
__device__ __forceinline__ void embedBackward(float* dTable, const T* dOut, const int* order, const int* starts,
                                              const int* ids, int D) {
	const int u = blockIdx.x;
	float* row = dTable + static_cast<long long>(ids[u]) * D;
	if (D % Vector<T>::size == 0 && aligned(dOut)) addTokens<Vector<T>>(row, dOut, order, starts[u], starts[u + 1], D);
	else addTokens<Scalar<T>>(row, dOut, order, starts[u], starts[u + 1], D);
}

} // namespace

extern "C" __global__ void gather_rows_f32(float* out, const float* in, const int* index, int D) {
	gatherRows(out, in, index, D);
}
KERNEL(gather_rows_f32);
extern "C" __global__ void gather_rows_bf16(bf16* out, const bf16* in, const int* index, int D) {
	gatherRows(out, in, index, D);
}
KERNEL(gather_rows_bf16);

extern "C" __global__ void scatter_rows_f32(float* out, const float* in, const int* index, int D) {
	scatterRows(out, in, index, D);
}
KERNEL(scatter_rows_f32);
extern "C" __global__ void scatter_rows_bf16(bf16* out, const bf16* in, const int* index, int D) {
	scatterRows(out, in, index, D);
}
KERNEL(scatter_rows_bf16);

extern "C" __global__ void cache_store_f32(float* cacheK, float* cacheV, const float* k, const float* v,
                                           const int* slots, const int* positions, int capacity, int D) {
	cacheStore(cacheK, cacheV, k, v, slots, positions, capacity, D);
}
KERNEL(cache_store_f32);
extern "C" __global__ void cache_store_bf16(bf16* cacheK, bf16* cacheV, const bf16* k, const bf16* v, const int* slots,
                                            const int* positions, int capacity, int D) {
	cacheStore(cacheK, cacheV, k, v, slots, positions, capacity, D);
}
KERNEL(cache_store_bf16);

extern "C" __global__ void embed_backward_f32(float* dTable, const float* dOut, const int* order, const int* starts,
                                              const int* ids, int D) {
	embedBackward(dTable, dOut, order, starts, ids, D);
}
KERNEL(embed_backward_f32);
extern "C" __global__ void embed_backward_bf16(float* dTable, const bf16* dOut, const int* order, const int* starts,
                                               const int* ids, int D) {
	embedBackward(dTable, dOut, order, starts, ids, D);
}
KERNEL(embed_backward_bf16);
