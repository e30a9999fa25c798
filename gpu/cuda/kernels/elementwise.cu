// Operators that treat each element alone. Threads go through the elements in pieces of 16 bytes where all addresses
// allow it, in a stride of the whole grid; the bits do not depend on the grid.
#include "device.cuh"

namespace {

// forPieces calls body.template operator()<P>(i) for each piece of type P that starts at element i.
template <class T, class Body>
__device__ __forceinline__ void forPieces(long long n, bool vectors, Body body) {
	const long long first = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
	const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
	constexpr int size = Vector<T>::size;
	const long long pieces = vectors ? n / size : 0;
	for (long long i = first; i < pieces; i += stride) body(Vector<T>(), i * size);
	for (long long i = pieces * size + first; i < n; i += stride) body(Scalar<T>(), i);
}

__device__ __forceinline__ float sigmoid(float z) { return 1 / (1 + expf(-z)); }

// SwiGLU (arXiv 2002.05202, equation 5): out = silu(gate)·up.
template <class T>
__device__ __forceinline__ void swiglu(T* out, const T* gate, const T* up, long long n) {
	forPieces<T>(n, aligned(out, gate, up), [=](auto piece, long long i) {
		auto u = piece;
		piece.load(gate + i);
		u.load(up + i);
		UNROLL
		for (int j = 0; j < piece.size; j++) piece.x[j] *= sigmoid(piece.x[j]) * u.x[j];
		piece.save(out + i);
	});
}

// dGate = dOut·up·silu'(gate), dUp = dOut·silu(gate) and out = silu(gate)·up. dGate may be gate, dUp may be up and out may
// be dOut.
template <class T>
__device__ __forceinline__ void swigluBackward(T* dGate, T* dUp, T* out, const T* dOut, const T* gate,
                                               const T* up, long long n) {
	forPieces<T>(n, aligned(dGate, dUp, out, dOut, gate, up), [=](auto piece, long long i) {
		auto g = piece, u = piece;
		piece.load(dOut + i);
		g.load(gate + i);
		u.load(up + i);
		UNROLL
		for (int j = 0; j < piece.size; j++) {
			const float d = piece.x[j], z = g.x[j], s = sigmoid(z);
			g.x[j] = d * u.x[j] * s * (1 + z * (1 - s));
			piece.x[j] = z * (s * u.x[j]);
			u.x[j] = d * z * s;
		}
		g.save(dGate + i);
		u.save(dUp + i);
		piece.save(out + i);
	});
}

} // namespace

// cast_bf16_f32 rounds in to bf16.
extern "C" __global__ void cast_bf16_f32(bf16* out, const float* in, long long n) {
	const bool vectors = aligned(out, in);
	forPieces<bf16>(n, vectors, [=](auto piece, long long i) {
		if constexpr (piece.size == 8) {
			Vector<float> low, high;
			low.load(in + i);
			high.load(in + i + 4);
			UNROLL
			for (int j = 0; j < 4; j++) piece.x[j] = low.x[j], piece.x[j + 4] = high.x[j];
		} else {
			piece.x[0] = in[i];
		}
		piece.save(out + i);
	});
}
KERNEL(cast_bf16_f32);

extern "C" __global__ void swiglu_f32(float* out, const float* gate, const float* up, long long n) {
	swiglu(out, gate, up, n);
}
KERNEL(swiglu_f32);
extern "C" __global__ void swiglu_bf16(bf16* out, const bf16* gate, const bf16* up, long long n) {
	swiglu(out, gate, up, n);
}
KERNEL(swiglu_bf16);

extern "C" __global__ void swiglu_backward_f32(float* dGate, float* dUp, float* out, const float* dOut,
                                               const float* gate, const float* up, long long n) {
	swigluBackward(dGate, dUp, out, dOut, gate, up, n);
}
KERNEL(swiglu_backward_f32);
extern "C" __global__ void swiglu_backward_bf16(bf16* dGate, bf16* dUp, bf16* out, const bf16* dOut,
                                                const bf16* gate, const bf16* up, long long n) {
	swigluBackward(dGate, dUp, out, dOut, gate, up, n);
}
KERNEL(swiglu_backward_bf16);
