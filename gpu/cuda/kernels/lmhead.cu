// The softmax of the language-model head over logits in float32, which a matrix product left for a chunk of tokens. A block
// takes the row of one token. Maximum and sum of exponentials are kept up to date from piece to piece (arXiv 1805.02867), so
// a row is read once in each direction.
#include "device.cuh"

namespace {

// A RowState is what the backward needs of one row's softmax.
struct RowState {
	float most; // the greatest logit, times scale
	float sum;  // Σ exp(logit·scale − most)
};

} // namespace

// lmhead_forward writes the states of rows of V logits, ld elements apart, and log softmax of the target and lse, both in
// float64; each of these two may be null.
extern "C" __global__ void lmhead_forward(void* states, double* logp, double* lse, const float* logits, long long ld,
                                          const int* targets, int V, float scale) {
	__shared__ float scratch[2][32];
	const long long n = blockIdx.x;
	const float* row = logits + n * ld;
	float most = minusInfinity(), sum = 0; // of the thread's own columns
	auto take = [&](auto piece, int i) {
		piece.load(row + i);
		float top = most;
		UNROLL
		for (int j = 0; j < piece.size; j++) top = fmaxf(top, piece.x[j] * scale);
		sum *= expf(most - top);
		most = top;
		UNROLL
		for (int j = 0; j < piece.size; j++) sum += expf(piece.x[j] * scale - top);
	};
	const int whole = ld % 4 == 0 && aligned(logits) ? V / 4 * 4 : 0;
	for (int i = 4 * threadIdx.x; i < whole; i += 4 * blockDim.x) take(Vector<float>(), i);
	for (int i = whole + threadIdx.x; i < V; i += blockDim.x) take(Scalar<float>(), i);
	const float own = most;
	most = blockMax(most, scratch[0]);
	sum = blockSum(own == most ? sum : sum * expf(own - most), scratch[1]);
	if (threadIdx.x > 0) return;

	static_cast<RowState*>(states)[n] = {most, sum};
	const double total = static_cast<double>(most) + log(static_cast<double>(sum));
	if (logp != nullptr) logp[n] = row[targets[n]] * scale - total;
	if (lse != nullptr) lse[n] = total;
}
KERNEL(lmhead_forward);

namespace {

__device__ __forceinline__ void saveFour(float* to, const float (&x)[4]) {
	const float4 v = {x[0], x[1], x[2], x[3]};
	*reinterpret_cast<float4*>(to) = v;
}
__device__ __forceinline__ void saveFour(bf16* to, const float (&x)[4]) {
	const uint2 v = {packBF16(x[0], x[1]), packBF16(x[2], x[3])};
	*reinterpret_cast<uint2*>(to) = v;
}

// The derivative of the loss with respect to each logit, with p the softmax: onTarget·[v = target] + onAll·p. It may be
// written over the logits: T at the same addresses as float32 with a row of ld elements of T that is as long in bytes.
// Every piece is read before a barrier and written behind it, and never lies beyond what has been read. Where pieces are of
// four, those of a row's end that lie behind V become 0.
template <class T>
__device__ __forceinline__ void lmheadBackward(T* dLogits, long long ldOut, const float* logits, long long ld,
                                               const void* states, const int* targets, const float* onTarget,
                                               const float* onAll, int V, float scale) {
	const long long n = blockIdx.x;
	const RowState s = static_cast<const RowState*>(states)[n];
	const float* row = logits + n * ld;
	T* out = dLogits + n * ldOut;
	const float c = onAll[n] / s.sum;
	const int target = targets[n];
	const bool vectors = ld % 4 == 0 && ldOut % 4 == 0 && aligned(logits, dLogits);
	const int size = vectors ? 4 : 1, stride = blockDim.x * size;
	for (int start = 0; start < V; start += stride) {
		const int i = start + threadIdx.x * size;
		float x[4] = {};
		if (i < V) {
			if (vectors) {
				Vector<float> piece;
				piece.load(row + i);
				UNROLL
				for (int j = 0; j < 4; j++) x[j] = piece.x[j];
			} else {
				x[0] = row[i];
			}
		}
		__syncthreads();
		UNROLL
		for (int j = 0; j < 4; j++) {
			x[j] = i + j < V ? c * expf(x[j] * scale - s.most) : 0;
			if (i + j == target) x[j] += onTarget[n];
		}
		if (i < V) {
			if (vectors) {
				saveFour(out + i, x);
			} else {
				store(out + i, x[0]);
			}
		}
	}
}

} // namespace

extern "C" __global__ void lmhead_backward_f32(float* dLogits, long long ldOut, const float* logits, long long ld,
                                               const void* states, const int* targets, const float* onTarget,
                                               const float* onAll, int V, float scale) {
	lmheadBackward(dLogits, ldOut, logits, ld, states, targets, onTarget, onAll, V, scale);
}
KERNEL(lmhead_backward_f32);
extern "C" __global__ void lmhead_backward_bf16(bf16* dLogits, long long ldOut, const float* logits, long long ld,
                                                const void* states, const int* targets, const float* onTarget,
                                                const float* onAll, int V, float scale) {
	lmheadBackward(dLogits, ldOut, logits, ld, states, targets, onTarget, onAll, V, scale);
}
KERNEL(lmhead_backward_bf16);
