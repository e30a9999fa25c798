// A libcuda.so.1 without a GPU, for tests of what lies between gpu/cuda and the driver: argument lists, contexts,
// pinned memory, limits. Memory is the host's, kernels are those of the emulator, and everything is done at once. What a
// driver forbids is an error here as well. FAKE_CUDA_INIT, FAKE_CUDA_CAPABILITY (75 for 7.5) and FAKE_CUDA_VERSION (11040 for
// 11.4) make other machines of it.
//
// See build.sh.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

extern "C" int athanor_launch(const char*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void**, unsigned long long);
extern "C" const char* athanor_error();
extern "C" const char* athanor_kernel(int i);

namespace {

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
       NOT_FOUND = 500, LAUNCH_FAILED = 719 };

constexpr size_t kMemory = size_t(1) << 30;
constexpr int kDeclared = 1 << 10; // the shared memory that a kernel declares counts as well; here all do as much

struct Function {
	std::string name;
	int shared = (48 << 10) - kDeclared;
};

bool initialised;
size_t used;
std::map<uint64_t, size_t> allocations; // by address: those of the GPU
std::map<uint64_t, size_t> pinned;      // and page-locked ones
std::map<std::string, Function> functions;
thread_local void* current;
int theContext, theStream, theModule;
uint64_t launches;

int setting(const char* name, int otherwise) {
	const char* text = std::getenv(name);
	return text == nullptr ? otherwise : std::atoi(text);
}

bool inside(const std::map<uint64_t, size_t>& ranges, uint64_t at, size_t bytes) {
	auto it = ranges.upper_bound(at);
	if (it == ranges.begin()) return false;
	--it;
	return at + bytes <= it->first + it->second;
}

bool onGPU(uint64_t at, size_t bytes) { return inside(allocations, at, bytes); }
bool onHost(const void* at, size_t bytes) { return inside(pinned, reinterpret_cast<uint64_t>(at), bytes); }
void* address(uint64_t at) { return reinterpret_cast<void*>(at); }

} // namespace

#define NEEDS_CONTEXT \
	if (current != &theContext) return INVALID_CONTEXT

extern "C" {

int cuInit(unsigned flags) {
	const int result = setting("FAKE_CUDA_INIT", SUCCESS);
	initialised = result == SUCCESS;
	return flags == 0 ? result : INVALID_VALUE;
}
int cuDeviceGetCount(int* n) { return *n = 1, initialised ? SUCCESS : NOT_INITIALIZED; }
int cuDeviceGetName(char* name, int size, int device) {
	std::snprintf(name, size, "Fake GPU");
	return device == 0 ? SUCCESS : INVALID_DEVICE;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
	const int capability = setting("FAKE_CUDA_CAPABILITY", 90);
	switch (attribute) {
	case 16: *value = 4; break; // multiprocessors
	case 75: *value = capability / 10; break;
	case 76: *value = capability % 10; break;
	default: return INVALID_VALUE;
	}
	return device == 0 ? SUCCESS : INVALID_DEVICE;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = kMemory, SUCCESS; }
int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &theContext, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void* context) { return current = context, SUCCESS; }

int cuStreamCreate(void** stream, unsigned) {
	NEEDS_CONTEXT;
	return *stream = &theStream, SUCCESS;
}
int cuStreamSynchronize(void* stream) {
	NEEDS_CONTEXT;
	return stream == &theStream ? SUCCESS : INVALID_VALUE;
}
int cuEventCreate(void** event, unsigned) {
	NEEDS_CONTEXT;
	return *event = new int(0), SUCCESS;
}
int cuEventRecord(void* event, void* stream) {
	NEEDS_CONTEXT;
	if (stream != &theStream) return INVALID_VALUE;
	return ++*static_cast<int*>(event), SUCCESS;
}
int cuEventSynchronize(void* event) {
	NEEDS_CONTEXT;
	return *static_cast<int*>(event) > 0 ? SUCCESS : INVALID_VALUE;
}

int cuDriverGetVersion(int* version) { return *version = setting("FAKE_CUDA_VERSION", 12080), SUCCESS; }

int cuModuleLoadData(void** module, const void* image) {
	NEEDS_CONTEXT;
	if (setting("FAKE_CUDA_VERSION", 12080) < 12000) return INVALID_IMAGE;
	if (std::memcmp(image, "\x7f" "ELF", 4) != 0 && std::memcmp(image, "//", 2) != 0) return INVALID_VALUE;
	return *module = &theModule, SUCCESS;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
	NEEDS_CONTEXT;
	if (module != &theModule) return INVALID_VALUE;
	for (int i = 0; athanor_kernel(i) != nullptr; i++) {
		if (std::strcmp(athanor_kernel(i), name) != 0) continue;
		functions[name].name = name;
		return *function = &functions[name], SUCCESS;
	}
	return NOT_FOUND;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
	NEEDS_CONTEXT;
	if (attribute != 8 || value > (227 << 10) - kDeclared) return INVALID_VALUE;
	return static_cast<Function*>(function)->shared = value, SUCCESS;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void* stream, void** args, void** extra) {
	NEEDS_CONTEXT;
	auto f = static_cast<Function*>(function);
	if (stream != &theStream || extra != nullptr || int(shared) > f->shared) return INVALID_VALUE;
	if (athanor_launch(f->name.c_str(), gx, gy, gz, bx, by, bz, shared, args, ++launches) == 0) return SUCCESS;
	std::fprintf(stderr, "fake libcuda: %s: %s\n", f->name.c_str(), athanor_error());
	return LAUNCH_FAILED;
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
	NEEDS_CONTEXT;
	return *free = kMemory - used, *total = kMemory, SUCCESS;
}
int cuMemAlloc_v2(uint64_t* p, size_t bytes) {
	NEEDS_CONTEXT;
	if (used + bytes > kMemory) return OUT_OF_MEMORY;
	void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
	std::memset(memory, 0xff, bytes); // NaN: a GPU's is not zero either
	*p = reinterpret_cast<uint64_t>(memory);
	allocations[*p] = bytes;
	return used += bytes, SUCCESS;
}
int cuMemFree_v2(uint64_t p) {
	NEEDS_CONTEXT;
	auto found = allocations.find(p);
	if (found == allocations.end()) return INVALID_VALUE;
	used -= found->second;
	allocations.erase(found);
	std::free(address(p));
	return SUCCESS;
}
int cuMemHostAlloc(void** p, size_t bytes, unsigned) {
	NEEDS_CONTEXT;
	*p = std::malloc(bytes);
	pinned[reinterpret_cast<uint64_t>(*p)] = bytes;
	return SUCCESS;
}
int cuMemFreeHost(void* p) {
	NEEDS_CONTEXT;
	if (pinned.erase(reinterpret_cast<uint64_t>(p)) == 0) return INVALID_VALUE;
	return std::free(p), SUCCESS;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
	NEEDS_CONTEXT;
	if (!onGPU(to, bytes) || !onHost(from, bytes) || stream != &theStream) return INVALID_VALUE;
	return std::memcpy(address(to), from, bytes), SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
	NEEDS_CONTEXT;
	if (!onHost(to, bytes) || !onGPU(from, bytes) || stream != &theStream) return INVALID_VALUE;
	return std::memcpy(to, address(from), bytes), SUCCESS;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
	NEEDS_CONTEXT;
	if (!onGPU(to, bytes) || !onGPU(from, bytes) || stream != &theStream) return INVALID_VALUE;
	return std::memcpy(address(to), address(from), bytes), SUCCESS;
}
int cuMemsetD8Async(uint64_t at, unsigned char value, size_t bytes, void* stream) {
	NEEDS_CONTEXT;
	if (!onGPU(at, bytes) || stream != &theStream) return INVALID_VALUE;
	return std::memset(address(at), value, bytes), SUCCESS;
}

} // extern "C"
