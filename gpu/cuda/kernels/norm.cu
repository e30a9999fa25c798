// RMSNorm (arXiv 1910.07467). A block takes a row; its threads take pieces of 16 bytes where the addresses allow it. The
// second pass over a row finds it in the cache. Sums are in float32, in a fixed order.
#include "device.cuh"

namespace {

template <class P, class T>
__device__ __forceinline__ void normRow(T* out, float* rstd, const T* x, const T* weight, float eps, int D) {
	__shared__ float scratch[32];
	float squares = 0;
	P piece, w;
	for (int d = threadIdx.x * P::size; d < D; d += blockDim.x * P::size) {
		piece.load(x + d);
		UNROLL
		for (int j = 0; j < P::size; j++) squares += piece.x[j] * piece.x[j];
	}
	const float r = 1 / sqrtf(blockSum(squares, scratch) / D + eps);
	if (threadIdx.x == 0) *rstd = r;
	for (int d = threadIdx.x * P::size; d < D; d += blockDim.x * P::size) {
		piece.load(x + d);
		w.load(weight + d);
		UNROLL
		for (int j = 0; j < P::size; j++) piece.x[j] *= r * w.x[j];
		piece.save(out + d);
	}
}

template <class T>
__device__ __forceinline__ void rmsnorm(T* out, float* rstd, const T* x, const T* weight, float eps, int D) {
	const long long n = blockIdx.x;
	if (D % Vector<T>::size == 0 && aligned(out, x, weight)) {
		normRow<Vector<T>>(out + n * D, rstd + n, x + n * D, weight, eps, D);
	} else {
		normRow<Scalar<T>>(out + n * D, rstd + n, x + n * D, weight, eps, D);
	}
}

// Block p goes through the rows p, p+P, p+2P …, P being the size of the grid. It sets dx of each, and sums up dOut·x̂
// over them in shared memory, where each thread has its own columns, and then writes that to row p of partial.
template <class P, class T>
__device__ __forceinline__ void normBackwardRows(T* dx, float* partial, const T* dOut, const T* x, const T* weight,
                                                 const float* rstd, const T* add, int N, int D) {
	__shared__ float scratch[2][32];
	DYNAMIC_SHARED(float, sums); // [D]
	const int first = threadIdx.x * P::size, stride = blockDim.x * P::size;
	P o, v, w, a;
	for (int d = first; d < D; d += stride) {
		UNROLL
		for (int j = 0; j < P::size; j++) sums[d + j] = 0;
	}
	int turn = 0; // the barrier of one row protects the scratch of the row before
	for (long long n = blockIdx.x; n < N; n += gridDim.x, turn ^= 1) {
		const float r = rstd[n];
		float dot = 0;
		for (int d = first; d < D; d += stride) {
			o.load(dOut + n * D + d);
			v.load(x + n * D + d);
			w.load(weight + d);
			UNROLL
			for (int j = 0; j < P::size; j++) {
				const float dw = o.x[j] * v.x[j] * r;
				sums[d + j] += dw;
				dot += dw * w.x[j];
			}
		}
		const float mean = blockSum(dot, scratch[turn]) / D;
		for (int d = first; d < D; d += stride) {
			o.load(dOut + n * D + d);
			v.load(x + n * D + d);
			w.load(weight + d);
			UNROLL
			for (int j = 0; j < P::size; j++) a.x[j] = 0;
			if (add != nullptr) a.load(add + n * D + d);
			UNROLL
			for (int j = 0; j < P::size; j++) a.x[j] += r * (o.x[j] * w.x[j] - v.x[j] * r * mean);
			a.save(dx + n * D + d);
		}
	}
	for (int d = first; d < D; d += stride) {
		UNROLL
		for (int j = 0; j < P::size; j++) partial[static_cast<long long>(blockIdx.x) * D + d + j] = sums[d + j];
	}
}

template <class T>
__device__ __forceinline__ void rmsnormBackward(T* dx, float* partial, const T* dOut, const T* x, const T* weight,
                                                const float* rstd, const T* add, int N, int D) {
	if (D % Vector<T>::size == 0 && aligned(dx, dOut, x, weight, add)) {
		normBackwardRows<Vector<T>>(dx, partial, dOut, x, weight, rstd, add, N, D);
	} else {
		normBackwardRows<Scalar<T>>(dx, partial, dOut, x, weight, rstd, add, N, D);
	}
}

} // namespace

extern "C" __global__ void rmsnorm_f32(float* out, float* rstd, const float* x, const float* weight, float eps, int D) {
	rmsnorm(out, rstd, x, weight, eps, D);
}
KERNEL(rmsnorm_f32);
extern "C" __global__ void rmsnorm_bf16(bf16* out, float* rstd, const bf16* x, const bf16* weight, float eps, int D) {
	rmsnorm(out, rstd, x, weight, eps, D);
}
KERNEL(rmsnorm_bf16);

extern "C" __global__ void rmsnorm_backward_f32(float* dx, float* partial, const float* dOut, const float* x,
                                                const float* weight, const float* rstd, const float* add, int N,
                                                int D) {
	rmsnormBackward(dx, partial, dOut, x, weight, rstd, add, N, D);
}
KERNEL(rmsnorm_backward_f32);
extern "C" __global__ void rmsnorm_backward_bf16(bf16* dx, float* partial, const bf16* dOut, const bf16* x,
                                                 const bf16* weight, const float* rstd, const bf16* add, int N, int D) {
	rmsnormBackward(dx, partial, dOut, x, weight, rstd, add, N, D);
}
KERNEL(rmsnorm_backward_bf16);

// add_columns adds the sum of each column of partial [P, D] to out [D]. A block of 32×8 threads takes 32 columns;
// threadIdx.y takes every eighth row, and the eight sums are added in order.
extern "C" __global__ void add_columns(float* out, const float* partial, int P, int D) {
	__shared__ float sums[8][32];
	const int d = blockIdx.x * 32 + threadIdx.x;
	float sum = 0;
	if (d < D) {
		for (int p = threadIdx.y; p < P; p += 8) sum += partial[static_cast<long long>(p) * D + d];
	}
	sums[threadIdx.y][threadIdx.x] = sum;
	__syncthreads();
	if (threadIdx.y == 0 && d < D) {
		sum = sums[0][threadIdx.x];
		for (int i = 1; i < 8; i++) sum += sums[i][threadIdx.x];
		out[d] += sum;
	}
}
KERNEL(add_columns);
