// Draws a token from each row of logits in float32, as gpu.Draw says. A block takes a row. Weights and their sums are double;
// only orders that follow from the shapes are summed in, so a draw has the same bits in every run.
//
// What top-k and top-p leave is found without sorting: tokens have ranks, which are whole numbers, and the least rank that is
// kept is found digit by digit, from the counts and weights of the tokens with each digit. It ends as soon as a
// digit is that of one token, for most logits after half of the digits. The token drawn is then found by parts: the warps sum
// one part of the row each, and the part where the sum passes the draw is cut into parts again.
#include "device.cuh"

namespace sampling {

constexpr int threads = 512, warps = threads / 32;
constexpr int digitBits = 3, digits = 1 << digitBits;
constexpr int rankBits = 63; // a multiple of digitBits

using Rank = unsigned long long;

// Settings are those of one row.
struct Settings {
	double temperature; // 0: the likeliest token
	double topP;        // more than 1: all
	double uniform;
	long long topK; // at least 1
};

struct Drawn {
	double id, logp;
};

// A digit's tokens.
struct Bin {
	double weight;
	int count;
};

// Order is the logit as a whole number: a greater one is likelier. Both zeros are the same, and not a number is the most.
__device__ __forceinline__ unsigned order(float logit) {
	if (logit != logit) return 0xffffffffu;
	const unsigned bits = __float_as_uint(logit == 0 ? 0 : logit);
	return bits >> 31 ? ~bits : bits | 0x80000000u;
}
constexpr unsigned orderOfInfinity = 0xff800000u, orderOfMinusInfinity = 0x007fffffu;

__device__ __forceinline__ float logitOf(unsigned order) {
	return __uint_as_float(order >> 31 ? order & 0x7fffffffu : ~order);
}

// The rank of a token: of equals the lower id has the greater one, so no two are alike.
__device__ __forceinline__ Rank rankOf(float logit, int id) {
	return static_cast<Rank>(order(logit)) << 31 | static_cast<unsigned>(0x7fffffff - id);
}
__device__ __forceinline__ int idOf(Rank rank) { return 0x7fffffff - static_cast<int>(rank & 0x7fffffffu); }

// A Row is what all threads of a block know of its row.
struct Row {
	const float* logits;
	int V;
	double most, inverse; // the greatest logit, and 1/temperature
	Rank least;           // of the tokens that are kept

	__device__ __forceinline__ double weight(float logit) const {
		return exp((static_cast<double>(logit) - most) * inverse);
	}
	// kept is the weight of a token if it is kept, else 0.
	__device__ __forceinline__ double kept(int id) const {
		const float logit = logits[id];
		return rankOf(logit, id) >= least ? weight(logit) : 0;
	}
};

// likeliest is the greatest rank of a row, for every thread.
__device__ __forceinline__ Rank likeliest(const float* logits, int V, Rank* scratch) {
	Rank best = 0;
	UNROLL_BY(4)
	for (int i = threadIdx.x; i < V; i += threads) {
		const Rank r = rankOf(logits[i], i);
		best = r > best ? r : best;
	}
	UNROLL
	for (int lanes = 16; lanes > 0; lanes /= 2) {
		const Rank other = __shfl_xor_sync(allLanes, best, lanes);
		best = other > best ? other : best;
	}
	if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = best;
	__syncthreads();
	for (int i = 0; i < warps; i++) best = scratch[i] > best ? scratch[i] : best;
	return best;
}

// partOf is how long the parts are in which the warps share n tokens: whole steps of a warp.
__device__ __forceinline__ int partOf(int n) { return (n + threads - 1) / threads * 32; }

// sumParts sets parts to the weights kept of ids from up to to, one part for each warp, and returns their sum. The parts may
// be used again after a barrier.
__device__ __forceinline__ double sumParts(const Row& row, int from, int to, double* parts) {
	const int warp = threadIdx.x / 32, length = partOf(to - from);
	const int begin = min(to, from + warp * length), end = min(to, begin + length);
	double sum = 0;
	UNROLL_BY(4)
	for (int i = begin + threadIdx.x % 32; i < end; i += 32) sum += row.kept(i);
	sum = warpSum(sum);
	if (threadIdx.x % 32 == 0) parts[warp] = sum;
	__syncthreads();
	sum = 0;
	for (int i = 0; i < warps; i++) sum += parts[i];
	return sum;
}

// fillBins counts and weighs the tokens of ranks low up to low + digits·2^shift by their digit.
__device__ __forceinline__ void fillBins(const Row& row, Rank low, int shift, bool weigh, double* weights, unsigned short* counts,
                                         Bin* bins) {
	UNROLL
	for (int d = 0; d < digits; d++) weights[d * threads + threadIdx.x] = 0, counts[d * threads + threadIdx.x] = 0;
	for (int i = threadIdx.x; i < row.V; i += threads) {
		const float logit = row.logits[i];
		const Rank rank = rankOf(logit, i);
		if ((rank ^ low) >> (shift + digitBits) != 0) continue;
		const int at = static_cast<int>(rank >> shift & (digits - 1)) * threads + threadIdx.x;
		counts[at]++;
		if (weigh) weights[at] += row.weight(logit);
	}
	__syncthreads();
	const int warp = threadIdx.x / 32;
	if (warp < digits) {
		double weight = 0;
		int count = 0;
		UNROLL
		for (int i = threadIdx.x % 32; i < threads; i += 32) {
			weight += weights[warp * threads + i];
			count += counts[warp * threads + i];
		}
		weight = warpSum(weight);
		UNROLL
		for (int lanes = 16; lanes > 0; lanes /= 2) count += __shfl_xor_sync(allLanes, count, lanes);
		if (threadIdx.x % 32 == 0) bins[warp] = {weight, count};
	}
	__syncthreads();
}

// leastKept is the least rank that top-k and top-p leave, for every thread: of the token that makes the count topK or the
// weight enough, adding up from the likeliest.
__device__ __forceinline__ Rank leastKept(const Row& row, long long topK, double enough, bool weigh, double* weights, Bin* bins) {
	unsigned short* counts = reinterpret_cast<unsigned short*>(weights + digits * threads);
	Rank low = 0;
	long long count = 0; // of the tokens above those under consideration
	double weight = 0;
	for (int shift = rankBits - digitBits; shift >= 0; shift -= digitBits) {
		fillBins(row, low, shift, weigh, weights, counts, bins);
		int d = digits - 1;
		for (; d >= 0; d--) {
			if (bins[d].count == 0) continue;
			if (count + bins[d].count >= topK || weigh && weight + bins[d].weight >= enough) break;
			count += bins[d].count;
			weight += bins[d].weight;
		}
		if (d < 0) break; // the sum of all was enough, and, rounded otherwise, this one is not: all of these are kept
		low += static_cast<Rank>(d) << shift;
		if (bins[d].count == 1) break;
	}
	return low;
}

// draw finds the token where the weights kept, which come to sum and whose parts are there, pass the share uniform.
__device__ __forceinline__ void draw(const Row& row, double sum, double uniform, double* parts, Drawn* out) {
	int from = 0, to = row.V;
	double rest = uniform * sum;
	for (;;) {
		const int length = partOf(to - from);
		int part = 0;
		double left = rest;
		for (int i = 0; i < warps; i++) { // the last that has weight, where rounding lets none pass
			if (parts[i] == 0) continue;
			part = i, rest = left;
			if (left < parts[i]) break;
			left -= parts[i];
		}
		from += part * length;
		to = min(to, from + length);
		if (length == 32) break;
		__syncthreads();
		sumParts(row, from, to, parts);
	}
	if (threadIdx.x > 0) return;
	int id = from;
	double weight = 0;
	for (int i = from; i < to; i++) {
		const double w = row.kept(i);
		if (w == 0) continue;
		id = i, weight = w;
		if (rest < w) break;
		rest -= w;
	}
	*out = {static_cast<double>(id), log(weight / sum)};
}

} // namespace sampling

// sample draws one token from each row of V logits.
extern "C" __global__ void __launch_bounds__(512) sample(void* drawn, const float* logits, int V, const void* settings) {
	using namespace sampling;
	DYNAMIC_SHARED(double, weights);
	__shared__ Rank ranks[warps];
	__shared__ double parts[warps];
	__shared__ Bin bins[digits];
	const long long n = blockIdx.x;
	const Settings s = static_cast<const Settings*>(settings)[n];
	Drawn* out = static_cast<Drawn*>(drawn) + n;
	Row row = {logits + n * V, V, 0, s.temperature == 0 ? 1 : 1 / s.temperature, 0};

	const Rank best = likeliest(row.logits, V, ranks);
	const unsigned most = static_cast<unsigned>(best >> 31);
	if (most >= orderOfInfinity || most == orderOfMinusInfinity) {
		if (threadIdx.x == 0) *out = {-1, 0};
		return;
	}
	row.most = logitOf(most);
	double sum = sumParts(row, 0, V, parts);
	if (s.temperature == 0) {
		if (threadIdx.x == 0) *out = {static_cast<double>(idOf(best)), -log(sum)};
		return;
	}
	if (s.topK < V || s.topP <= 1) {
		row.least = leastKept(row, s.topK, s.topP * sum, s.topP <= 1, weights, bins);
		sum = sumParts(row, 0, V, parts);
	}
	draw(row, sum, s.uniform, parts, out);
}
KERNEL(sample);
