// A libcublasLt without a GPU: the product that cuBLASLt's documentation describes, column-major, in three loops. It holds
// its caller to what was asked of the heuristics: the shape, the types, the alignment and the workspace.
//
// See build.sh.

#include <cstdint>
#include <cstring>

namespace {

enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };

struct Desc {
	int32_t transA = 0, transB = 0;
};
struct Layout {
	int type;
	uint64_t rows, cols;
	int64_t ld;
};
struct Preference {
	size_t workspace = 0;
	uint32_t reduction = 7; // any
	uint32_t align[4] = {256, 256, 256, 256};
};
struct Heuristic {
	uint64_t algorithm[8];
	size_t workspace;
	int state;
	float waves;
	int reserved[4];
};

constexpr uint64_t kMagic = 0x41544841;

float get(const void* p, const Layout& l, uint64_t row, uint64_t col) {
	const int64_t i = col * l.ld + row;
	if (l.type == 0) return static_cast<const float*>(p)[i];
	const uint32_t bits = uint32_t(static_cast<const uint16_t*>(p)[i]) << 16;
	float x;
	return std::memcpy(&x, &bits, 4), x;
}

void put(void* p, const Layout& l, uint64_t row, uint64_t col, float x) {
	const int64_t i = col * l.ld + row;
	if (l.type == 0) {
		static_cast<float*>(p)[i] = x;
		return;
	}
	uint32_t bits;
	std::memcpy(&bits, &x, 4);
	static_cast<uint16_t*>(p)[i] = x != x ? 0x7fff : uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

bool wrong(const Layout& l) { return (l.type != 0 && l.type != 14) || l.ld < int64_t(l.rows); }

bool misaligned(const void* p, uint64_t align) { return p != nullptr && reinterpret_cast<uint64_t>(p) % align != 0; }

} // namespace

extern "C" {

size_t cublasLtGetVersion() { return 130000; }
int cublasLtCreate(void** handle) { return *handle = new int, SUCCESS; }
int cublasLtDestroy(void* handle) { return delete static_cast<int*>(handle), SUCCESS; }

int cublasLtMatmulDescCreate(void** d, int compute, int scale) {
	if (compute != 68 || scale != 0) return INVALID_VALUE;
	return *d = new Desc, SUCCESS;
}
int cublasLtMatmulDescDestroy(void* d) { return delete static_cast<Desc*>(d), SUCCESS; }
int cublasLtMatmulDescSetAttribute(void* d, int attribute, const void* value, size_t size) {
	if (size != 4 || (attribute != 3 && attribute != 4)) return INVALID_VALUE;
	auto desc = static_cast<Desc*>(d);
	std::memcpy(attribute == 3 ? &desc->transA : &desc->transB, value, 4);
	return SUCCESS;
}
int cublasLtMatrixLayoutCreate(void** l, int type, uint64_t rows, uint64_t cols, int64_t ld) {
	return *l = new Layout{type, rows, cols, ld}, SUCCESS;
}
int cublasLtMatrixLayoutDestroy(void* l) { return delete static_cast<Layout*>(l), SUCCESS; }
int cublasLtMatmulPreferenceCreate(void** p) { return *p = new Preference, SUCCESS; }
int cublasLtMatmulPreferenceDestroy(void* p) { return delete static_cast<Preference*>(p), SUCCESS; }
int cublasLtMatmulPreferenceSetAttribute(void* p, int attribute, const void* value, size_t size) {
	auto preference = static_cast<Preference*>(p);
	if (attribute == 1 && size == 8) return std::memcpy(&preference->workspace, value, 8), SUCCESS;
	if (attribute == 3 && size == 4) return std::memcpy(&preference->reduction, value, 4), SUCCESS;
	if (attribute >= 5 && attribute <= 8 && size == 4) return std::memcpy(&preference->align[attribute - 5], value, 4), SUCCESS;
	return INVALID_VALUE;
}

int cublasLtMatmulAlgoGetHeuristic(void*, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted, Heuristic* out, int* found) {
	auto &A = *static_cast<Layout*>(a), &B = *static_cast<Layout*>(b), &C = *static_cast<Layout*>(c), &D = *static_cast<Layout*>(d);
	auto& p = *static_cast<Preference*>(preference);
	auto& op = *static_cast<Desc*>(desc);
	*found = 0;
	if (wanted < 1 || wrong(A) || wrong(B) || wrong(C) || wrong(D)) return INVALID_VALUE;
	const uint64_t m = op.transA ? A.cols : A.rows, k = op.transA ? A.rows : A.cols;
	const uint64_t n = op.transB ? B.rows : B.cols, other = op.transB ? B.cols : B.rows;
	if (m != D.rows || n != D.cols || k != other || C.rows != m || C.cols != n || A.type != B.type || C.type != D.type) return INVALID_VALUE;
	if (A.type == 0 && D.type != 0) return NOT_SUPPORTED;
	if (p.reduction != 2 || m == 0 || n == 0 || k == 0) return INVALID_VALUE; // parts of a sum in float32; a product of something
	std::memset(out, 0, sizeof *out);
	out->algorithm[0] = kMagic;
	for (int i = 0; i < 4; i++) out->algorithm[1 + i] = p.align[i];
	out->algorithm[5] = reinterpret_cast<uint64_t>(d);
	out->workspace = p.workspace / 2;
	return *found = 1, SUCCESS;
}

int cublasLtMatmul(void*, void* desc, const void* alpha, const void* a, void* la, const void* b, void* lb, const void* beta, const void* c,
                   void* lc, void* d, void* ld, const void* algorithm, void* workspace, size_t size, void* stream) {
	auto &A = *static_cast<Layout*>(la), &B = *static_cast<Layout*>(lb), &C = *static_cast<Layout*>(lc), &D = *static_cast<Layout*>(ld);
	auto& op = *static_cast<Desc*>(desc);
	auto chosen = static_cast<const uint64_t*>(algorithm);
	float one, add;
	std::memcpy(&one, alpha, 4);
	std::memcpy(&add, beta, 4);
	if (chosen[0] != kMagic || chosen[5] != reinterpret_cast<uint64_t>(ld) || workspace == nullptr || size == 0 || stream == nullptr) return INVALID_VALUE;
	if (misaligned(a, chosen[1]) || misaligned(b, chosen[2]) || misaligned(c, chosen[3]) || misaligned(d, chosen[4])) return INVALID_VALUE;
	const uint64_t k = op.transA ? A.rows : A.cols;
	for (uint64_t j = 0; j < D.cols; j++) {
		for (uint64_t i = 0; i < D.rows; i++) {
			float sum = 0;
			for (uint64_t l = 0; l < k; l++) sum += (op.transA ? get(a, A, l, i) : get(a, A, i, l)) * (op.transB ? get(b, B, j, l) : get(b, B, l, j));
			put(d, D, i, j, add == 0 ? one * sum : one * sum + add * get(c, C, i, j));
		}
	}
	return SUCCESS;
}

} // extern "C"
