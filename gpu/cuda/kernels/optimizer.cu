// AdamW and Σ g² over many tensors in one launch. Each tensor is cut into chunks; the blocks of the grid are the chunks of
// all tensors in turn, and a block finds its tensor by bisection.
#include "device.cuh"

namespace {

constexpr int chunk = 16384; // elements; gpu/cuda/kernels/README.md tells the host

// An AdamWTensor is one tensor to update: 72 bytes.
struct AdamWTensor {
	void* weight;  // float32, or bf16 beside a master
	float* master; // null where weight is the one that is updated
	const float* grad;
	float *m, *v;
	long long count; // elements
	long long first; // the number of its first chunk
	float lr, decay;
	long long unused;
};

// A SquaresTensor is one tensor to sum up: 24 bytes.
struct SquaresTensor {
	const float* values;
	long long count, first;
};

// owner is the last of the tensors whose first chunk is not behind block.
template <class Tensor>
__device__ __forceinline__ const Tensor& owner(const Tensor* tensors, int n, long long block) {
	int low = 0, high = n - 1;
	while (low < high) {
		const int middle = (low + high + 1) / 2;
		if (tensors[middle].first <= block) low = middle;
		else high = middle - 1;
	}
	return tensors[low];
}

struct AdamWStep {
	float beta1, rest1, beta2, rest2; // rest = 1 − beta
	float scale1, scale2;             // 1/(1−β₁ᵗ), 1/(1−β₂ᵗ)
	float eps, gradScale;
};

// update is one element's step (arXiv 1711.05101, algorithm 2). It returns the new weight.
__device__ __forceinline__ float update(const AdamWStep& h, float lr, float decay, float w, float g, float& m,
                                        float& v) {
	g *= h.gradScale;
	m = h.beta1 * m + h.rest1 * g;
	v = h.beta2 * v + h.rest2 * g * g;
	const float direction = m * h.scale1 / (sqrtf(v * h.scale2) + h.eps);
	return w - lr * (direction + decay * w);
}

template <class P>
__device__ __forceinline__ void updateChunk(const AdamWTensor& t, const AdamWStep& h, long long from, long long to) {
	float* weights = t.master != nullptr ? t.master : static_cast<float*>(t.weight);
	P w, g, m, v;
	for (long long i = from + threadIdx.x * P::size; i < to; i += blockDim.x * P::size) {
		w.load(weights + i);
		g.load(t.grad + i);
		m.load(t.m + i);
		v.load(t.v + i);
		UNROLL
		for (int j = 0; j < P::size; j++) w.x[j] = update(h, t.lr, t.decay, w.x[j], g.x[j], m.x[j], v.x[j]);
		w.save(weights + i);
		m.save(t.m + i);
		v.save(t.v + i);
		if (t.master == nullptr) continue;
		auto low = static_cast<bf16*>(t.weight) + i;
		if constexpr (P::size == 4) {
			const uint2 packed = {packBF16(w.x[0], w.x[1]), packBF16(w.x[2], w.x[3])};
			*reinterpret_cast<uint2*>(low) = packed;
		} else {
			store(low, w.x[0]);
		}
	}
}

} // namespace

extern "C" __global__ void adamw(const void* tensors, int count, float beta1, float rest1, float beta2, float rest2,
                                 float scale1, float scale2, float eps, float gradScale) {
	const long long block = blockIdx.x;
	const AdamWTensor& t = owner(static_cast<const AdamWTensor*>(tensors), count, block);
	const AdamWStep h = {beta1, rest1, beta2, rest2, scale1, scale2, eps, gradScale};
	const long long from = (block - t.first) * chunk, to = min(from + chunk, t.count);
	const long long whole = to - (to - from) % 4;
	if (aligned(t.weight, t.master, t.grad, t.m, t.v)) {
		updateChunk<Vector<float>>(t, h, from, whole);
		updateChunk<Scalar<float>>(t, h, whole, to);
	} else {
		updateChunk<Scalar<float>>(t, h, from, to);
	}
}
KERNEL(adamw);

// sum_squares writes the sum over the chunk of each block to partial[blockIdx.x].
extern "C" __global__ void sum_squares(double* partial, const void* tensors, int count) {
	__shared__ double scratch[32];
	const long long block = blockIdx.x;
	const SquaresTensor& t = owner(static_cast<const SquaresTensor*>(tensors), count, block);
	const long long from = (block - t.first) * chunk, to = min(from + chunk, t.count);
	double sum = 0;
	const long long whole = aligned(t.values) ? to - (to - from) % 4 : from;
	Vector<float> piece;
	for (long long i = from + threadIdx.x * 4; i < whole; i += blockDim.x * 4) {
		piece.load(t.values + i);
		UNROLL
		for (int j = 0; j < 4; j++) sum += static_cast<double>(piece.x[j]) * piece.x[j];
	}
	for (long long i = whole + threadIdx.x; i < to; i += blockDim.x) sum += static_cast<double>(t.values[i]) * t.values[i];
	sum = blockSum(sum, scratch);
	if (threadIdx.x == 0) partial[block] = sum;
}
KERNEL(sum_squares);

// sum_partials sums partial [n] up in one block.
extern "C" __global__ void sum_partials(double* out, const double* partial, long long n) {
	__shared__ double scratch[32];
	double sum = 0;
	for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += partial[i];
	sum = blockSum(sum, scratch);
	if (threadIdx.x == 0) *out = sum;
}
KERNEL(sum_partials);
