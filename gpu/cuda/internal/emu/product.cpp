//go:build cudaemu

// The emulated GPU's matrix product: float32 sums in the order of k, one rounding at the end.

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

float element(const void* from, int bf16, long i) {
	if (!bf16) return static_cast<const float*>(from)[i];
	const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(from)[i]) << 16;
	float x;
	std::memcpy(&x, &bits, 4);
	return x;
}

void put(void* to, int bf16, long i, float x) {
	if (!bf16) {
		static_cast<float*>(to)[i] = x;
		return;
	}
	uint32_t bits;
	std::memcpy(&bits, &x, 4);
	static_cast<uint16_t*>(to)[i] = x != x ? 0x7fff : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

} // namespace

// athanor_multiply is driver.Product; in and out are 1 for bfloat16.
extern "C" void athanor_multiply(int m, int n, int k, const void* a, const void* b, const void* c, void* d, int lda, int ldb,
                                 int ldd, int transA, int transB, int in, int out) {
	std::vector<float> right(static_cast<size_t>(k) * n), sums(n);
	for (int i = 0; i < k; i++)
		for (int j = 0; j < n; j++)
			right[static_cast<size_t>(i) * n + j] = element(b, in, transB ? static_cast<long>(j) * ldb + i : static_cast<long>(i) * ldb + j);
	for (int r = 0; r < m; r++) {
		for (int j = 0; j < n; j++) sums[j] = 0;
		for (int i = 0; i < k; i++) {
			const float x = element(a, in, transA ? static_cast<long>(i) * lda + r : static_cast<long>(r) * lda + i);
			const float* row = &right[static_cast<size_t>(i) * n];
			float* sum = sums.data();
			for (int j = 0; j < n; j++) sum[j] += x * row[j];
		}
		for (int j = 0; j < n; j++) {
			const long at = static_cast<long>(r) * ldd + j;
			put(d, out, at, c ? element(c, out, at) + sums[j] : sums[j]);
		}
	}
}
