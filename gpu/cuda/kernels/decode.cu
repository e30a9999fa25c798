// Attention of one new token of each sequence to its cache. The cache is read once for all the query heads that share a
// key/value head (arXiv 2305.13245), and is split over blocks, 128 tokens each, so that few long sequences fill the
// device too (Flash-Decoding); decode_combine joins the splits in order.
#include "device.cuh"

namespace decode {

constexpr int split = 128; // tokens, and threads of a block
constexpr int batch = 4;   // query heads that a thread works on at a time

// scores sets p[r·split + thread] = q[r]·k for the token of each thread, for R heads.
template <class P, class T>
__device__ __forceinline__ void scores(float* p, const float* q, const T* k, bool valid, int R, int E) {
	for (int r = 0; r < R; r += batch) {
		float sum[batch] = {};
		P piece;
		for (int e = 0; valid && e < E; e += P::size) {
			piece.load(k + e);
			UNROLL
			for (int i = 0; i < batch; i++) {
				if (r + i >= R) continue;
				UNROLL
				for (int j = 0; j < P::size; j++) sum[i] += q[(r + i) * E + e + j] * piece.x[j];
			}
		}
		UNROLL
		for (int i = 0; i < batch; i++) {
			if (r + i < R) p[(r + i) * split + threadIdx.x] = valid ? sum[i] : minusInfinity();
		}
	}
}

// sumValues sets sums[(slot·R + r)·E + e] to the sum of p[r, t]·v[t, e] over the tokens t of one slot. A thread takes a
// piece of the head and every slots-th token.
template <class P, class T>
__device__ __forceinline__ int sumValues(float* sums, const float* p, const T* v, int tokens, long long stride, int R,
                                         int E) {
	const int pieces = E / P::size, slots = max(1, split / pieces);
	const int slot = threadIdx.x / pieces;
	if (slot >= slots && slots > 1) return slots;
	for (int r = 0; r < R; r += batch) {
		for (int at = slots > 1 ? threadIdx.x % pieces : threadIdx.x; at < pieces; at += slots > 1 ? pieces : split) {
			float sum[batch][P::size] = {};
			P piece;
			const int own = slots > 1 ? slot : 0;
			UNROLL_BY(4)
			for (int t = own; t < tokens; t += slots) {
				piece.load(v + t * stride + at * P::size);
				UNROLL
				for (int i = 0; i < batch; i++) {
					const float weight = r + i < R ? p[(r + i) * split + t] : 0;
					UNROLL
					for (int j = 0; j < P::size; j++) sum[i][j] += weight * piece.x[j];
				}
			}
			UNROLL
			for (int i = 0; i < batch; i++) {
				if (r + i >= R) continue;
				UNROLL
				for (int j = 0; j < P::size; j++) sums[(own * R + r + i) * E + at * P::size + j] = sum[i][j];
			}
		}
	}
	return slots;
}

template <class T>
__device__ __forceinline__ void attend(float* partial, const T* q, const T* cacheK, const T* cacheV, const int* slots,
                                       const int* lengths, int capacity, int H, int G, int E, int splits, float scale) {
	DYNAMIC_SHARED(float, shared);
	const int n = blockIdx.x, g = blockIdx.y, first = blockIdx.z * split, R = H / G, warp = threadIdx.x / 32;
	if (first >= lengths[n]) return;
	const int tokens = min(split, lengths[n] - first), lane = threadIdx.x % 32;
	float *query = shared, *p = query + R * E, *most = p + R * split, *total = most + R, *sums = total + R;
	const long long stride = static_cast<long long>(G) * E;
	const long long row = (static_cast<long long>(slots[n]) * capacity + first) * stride + g * E;
	const T *k = cacheK + row, *v = cacheV + row;
	const bool vectors = E % Vector<T>::size == 0 && aligned(cacheK, cacheV);

	for (int i = threadIdx.x; i < R * E; i += split) {
		query[i] = toFloat(q[(static_cast<long long>(n) * H + g * R) * E + i]) * scale;
	}
	__syncthreads();
	const bool valid = static_cast<int>(threadIdx.x) < tokens;
	if (vectors) scores<Vector<T>>(p, query, k + threadIdx.x * stride, valid, R, E);
	else scores<Scalar<T>>(p, query, k + threadIdx.x * stride, valid, R, E);
	__syncthreads();
	for (int r = warp; r < R; r += split / 32) {
		float x[split / 32], top = minusInfinity(), sum = 0;
		UNROLL
		for (int i = 0; i < split / 32; i++) x[i] = p[r * split + lane + 32 * i], top = fmaxf(top, x[i]);
		top = warpMax(top);
		UNROLL
		for (int i = 0; i < split / 32; i++) p[r * split + lane + 32 * i] = x[i] = expf(x[i] - top), sum += x[i];
		sum = warpSum(sum);
		if (lane == 0) most[r] = top, total[r] = sum;
	}
	__syncthreads();
	const int parts = vectors ? sumValues<Vector<T>>(sums, p, v, tokens, stride, R, E)
	                          : sumValues<Scalar<T>>(sums, p, v, tokens, stride, R, E);
	__syncthreads();
	for (int i = threadIdx.x; i < R * (E + 2); i += split) {
		const int r = i / (E + 2), e = i % (E + 2);
		float x = e == E ? most[r] : e == E + 1 ? total[r] : 0;
		for (int s = 0; e < E && s < parts; s++) x += sums[(s * R + r) * E + e];
		partial[((static_cast<long long>(n) * H + g * R + r) * splits + blockIdx.z) * (E + 2) + e] = x;
	}
}

template <class T>
__device__ __forceinline__ void combine(T* out, const float* partial, const int* lengths, int H, int E, int splits) {
	const int n = blockIdx.x, h = blockIdx.y, parts = (lengths[n] + split - 1) / split;
	const long long row = static_cast<long long>(n) * H + h;
	const float* from = partial + row * splits * (E + 2);
	float most = minusInfinity(), total = 0;
	for (int s = 0; s < parts; s++) most = fmaxf(most, from[s * (E + 2) + E]);
	for (int s = 0; s < parts; s++) total += from[s * (E + 2) + E + 1] * expf(from[s * (E + 2) + E] - most);
	for (int e = threadIdx.x; e < E; e += blockDim.x) {
		float x = 0;
		for (int s = 0; s < parts; s++) x += from[s * (E + 2) + e] * expf(from[s * (E + 2) + E] - most);
		store(out + row * E + e, x / total);
	}
}

} // namespace decode

#define DECODE(suffix, T)                                                                                              \
	extern "C" __global__ void __launch_bounds__(128) decode_attention_##suffix(                                       \
	    float* partial, const T* q, const T* cacheK, const T* cacheV, const int* slots, const int* lengths,            \
	    int capacity, int H, int G, int E, int splits, float scale) {                                                  \
		decode::attend(partial, q, cacheK, cacheV, slots, lengths, capacity, H, G, E, splits, scale);                  \
	}                                                                                                                  \
	KERNEL(decode_attention_##suffix);                                                                                 \
	extern "C" __global__ void decode_combine_##suffix(T* out, const float* partial, const int* lengths, int H, int E, \
	                                                   int splits) {                                                   \
		decode::combine(out, partial, lengths, H, E, splits);                                                          \
	}                                                                                                                  \
	KERNEL(decode_combine_##suffix)

DECODE(f32, float);
DECODE(bf16, bf16);
