// Rotary positions (arXiv 2104.09864), elements i and i+E/2 of a head as a pair. A block of 32×4 threads takes one token:
// threadIdx.x takes every 32nd pair, computes its angle once and turns that pair in every fourth head.
#include "device.cuh"

namespace {

// The angle is reduced in float64: at position 131,000 a float32 has lost two digits of the turn.
template <class T>
__device__ __forceinline__ void rope(T* x, const int* positions, const double* invFreq, float scale, int heads, int E,
                                     int inverse) {
	const long long n = blockIdx.x;
	const int half = E / 2;
	T* row = x + n * heads * E;
	for (int e = threadIdx.x; e < half; e += 32) {
		double turns = positions[n] * invFreq[e] * 0.15915494309189533577; // 1/2π
		turns -= rint(turns);
		float sine, cosine;
		sincospif(static_cast<float>(2 * turns), &sine, &cosine);
		sine *= inverse ? -scale : scale;
		cosine *= scale;
		for (int h = threadIdx.y; h < heads; h += 4) {
			T* head = row + h * E;
			const float a = toFloat(head[e]), b = toFloat(head[e + half]);
			store(head + e, a * cosine - b * sine);
			store(head + e + half, b * cosine + a * sine);
		}
	}
}

} // namespace

extern "C" __global__ void rope_f32(float* x, const int* positions, const double* invFreq, float scale, int heads, int E,
                                    int inverse) {
	rope(x, positions, invFreq, scale, heads, E, inverse);
}
KERNEL(rope_f32);
extern "C" __global__ void rope_bf16(bf16* x, const int* positions, const double* invFreq, float scale, int heads,
                                     int E, int inverse) {
	rope(x, positions, invFreq, scale, heads, E, inverse);
}
KERNEL(rope_bf16);
