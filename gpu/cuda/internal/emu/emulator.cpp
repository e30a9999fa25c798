//go:build cudaemu

// The emulator's scheduler, and the operations that a whole warp does at once. See emulator.h.
#include "emulator.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

// athanor_switch saves the registers that a function must preserve, and the stack pointer in *save; it goes on where
// the stack pointer load was saved.
extern "C" void athanor_switch(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.globl athanor_switch
.type athanor_switch, @function
athanor_switch:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
.size athanor_switch, .-athanor_switch
)");
constexpr int kFrame = 8, kReturn = 6; // words that a new stack begins with, and which is the return address
#elif defined(__aarch64__)
asm(R"(
.text
.globl athanor_switch
.type athanor_switch, %function
athanor_switch:
	sub sp, sp, #160
	stp x19, x20, [sp, #0]
	stp x21, x22, [sp, #16]
	stp x23, x24, [sp, #32]
	stp x25, x26, [sp, #48]
	stp x27, x28, [sp, #64]
	stp x29, x30, [sp, #80]
	stp d8, d9, [sp, #96]
	stp d10, d11, [sp, #112]
	stp d12, d13, [sp, #128]
	stp d14, d15, [sp, #144]
	mov x9, sp
	str x9, [x0]
	mov sp, x1
	ldp x19, x20, [sp, #0]
	ldp x21, x22, [sp, #16]
	ldp x23, x24, [sp, #32]
	ldp x25, x26, [sp, #48]
	ldp x27, x28, [sp, #64]
	ldp x29, x30, [sp, #80]
	ldp d8, d9, [sp, #96]
	ldp d10, d11, [sp, #112]
	ldp d12, d13, [sp, #128]
	ldp d14, d15, [sp, #144]
	add sp, sp, #160
	ret
.size athanor_switch, .-athanor_switch
)");
constexpr int kFrame = 20, kReturn = 11;
#else
#error "the emulator switches stacks on x86-64 and arm64 only"
#endif

namespace emu {

thread_local Thread* self;
thread_local uint3 blockIndex, gridSize, blockSize;
thread_local unsigned char* dynamicShared;

namespace {

constexpr int kMostThreads = 1024;
constexpr std::size_t kMostShared = 227 * 1024; // what a block of an H100 may ask for
// Bytes of a fiber's stack. No power of two, or the ends of all stacks would fall in one set of the processor's caches.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStack = 512 * 1024 + 23 * 64;
#else
constexpr std::size_t kStack = 128 * 1024 + 23 * 64;
#endif

// A stack to switch to: a fiber's, or that of the launcher.
struct Stack {
	void* pointer = nullptr;
	const void* bottom = nullptr; // the lowest address, and the size, for the address sanitizer
	std::size_t size = 0;
	void* fake = nullptr;
};

struct Machine {
	Thread threads[kMostThreads];
	Stack stacks[kMostThreads];
	Warp warps[kMostThreads / kWarp];
	Stack launcher;
	unsigned char* memory = nullptr; // of the stacks
	unsigned char* shared = nullptr;
	Thread* ready[kMostThreads];
	Thread* atBarrier[kMostThreads];
	int readyCount, barrierCount, alive;
	Invoke kernel;
	void** args;
	uint64_t random;
	bool eager; // copies by cp.async happen at once
	bool hasty; // the lanes of one warp mostly run until all of them wait at a barrier, and only then another's
	std::string error;
};

thread_local Machine* machine;

std::map<std::string, Invoke>& table() {
	static std::map<std::string, Invoke> kernels;
	return kernels;
}

uint64_t next() { // xorshift64*
	uint64_t& x = machine->random;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	return x * 0x2545F4914F6CDD1Dull;
}

int below(int n) { return static_cast<int>((next() >> 32) * static_cast<uint64_t>(n) >> 32); }

void switchTo(Stack& from, Stack& to, bool last) {
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_start_switch_fiber(last ? nullptr : &from.fake, to.bottom, to.size);
#else
	(void)last;
#endif
	athanor_switch(&from.pointer, to.pointer);
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(from.fake, nullptr, nullptr);
#endif
}

Stack& stackOf(Thread* t) { return machine->stacks[t - machine->threads]; }

// fail gives the block up: its fibers are never run again.
[[noreturn]] void fail(const std::string& message) {
	char where[96];
	std::snprintf(where, sizeof where, "block (%u,%u,%u), thread (%u,%u,%u): ", blockIndex.x, blockIndex.y, blockIndex.z,
	              self->index.x, self->index.y, self->index.z);
	machine->error = where + message;
	switchTo(stackOf(self), machine->launcher, true);
	__builtin_unreachable();
}

// resume runs any thread that can run, instead of this one, which waits or has ended.
void resume(bool ended) {
	Machine& m = *machine;
	if (m.readyCount == 0) {
		if (m.alive > 0) fail("all threads wait, but not for the same barrier");
		switchTo(stackOf(self), m.launcher, true);
	}
	int pick = below(m.readyCount);
	if (m.hasty && below(64) > 0) {
		for (int i = m.readyCount - 1; i >= 0; i--) {
			if (m.ready[i]->warp != self->warp) continue;
			pick = i;
			break;
		}
	}
	Thread* from = self;
	self = m.ready[pick];
	m.ready[pick] = m.ready[--m.readyCount];
	if (self != from) switchTo(stackOf(from), stackOf(self), ended);
}

void wake(Thread* t) { machine->ready[machine->readyCount++] = t; }

void releaseBarrier() {
	Machine& m = *machine;
	for (int i = 0; i < m.barrierCount; i++) wake(m.atBarrier[i]);
	m.barrierCount = 0;
}

void finishCopy(const Copy& c) {
	std::memcpy(c.to, c.from, c.bytes);
	std::memset(static_cast<char*>(c.to) + c.bytes, 0, c.zeros);
}

// main is the first function on a fiber's stack.
void threadMain() {
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
	machine->kernel(machine->args);
	if (self->copies > 0) fail("the thread ended before a copy that it began");
	machine->alive--;
	if (machine->alive > 0 && machine->barrierCount == machine->alive) releaseBarrier();
	resume(true);
	__builtin_unreachable();
}

void prepare(Stack& s) {
#if defined(__SANITIZE_ADDRESS__)
	ASAN_UNPOISON_MEMORY_REGION(s.bottom, s.size); // a thread that ended left its last frames there
#endif
	auto top = reinterpret_cast<uintptr_t>(s.bottom) + s.size; // a multiple of 64
	auto words = reinterpret_cast<void**>(top - 64) - kFrame;
	std::memset(words, 0, kFrame * sizeof *words);
	words[kReturn] = reinterpret_cast<void*>(threadMain);
	s.pointer = words;
}

// runBlock runs the threads of one block to their end.
void runBlock(int threads, std::size_t sharedBytes) {
	Machine& m = *machine;
	std::memset(m.shared, 0xff, sharedBytes); // NaN, in both formats
	dynamicShared = m.shared;
	m.readyCount = m.barrierCount = 0;
	m.alive = threads;
	for (int i = 0; i < threads; i++) {
		Thread& t = m.threads[i];
		unsigned x = blockSize.x, y = blockSize.y, n = i;
		t.index = {n % x, n / x % y, n / x / y};
		t.lane = i % kWarp;
		t.warp = &m.warps[i / kWarp];
		t.warp->arrived = 0;
		t.collectives = 0;
		t.committed = t.copies = 0;
		prepare(m.stacks[i]);
		wake(&t);
	}
	int pick = below(m.readyCount);
	self = m.ready[pick];
	m.ready[pick] = m.ready[--m.readyCount];
	switchTo(m.launcher, stackOf(self), false);
}

void createMachine() {
	machine = new Machine; // for as long as the process lives
	void* memory = mmap(nullptr, kMostThreads * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		delete machine;
		machine = nullptr;
		return;
	}
	machine->memory = static_cast<unsigned char*>(memory);
	for (int i = 0; i < kMostThreads; i++) {
		machine->stacks[i].bottom = machine->memory + i * kStack;
		machine->stacks[i].size = kStack;
	}
}

} // namespace

void enter(const char* name, Invoke invoke) { table()[name] = invoke; }

void syncBlock() {
	Machine& m = *machine;
	m.atBarrier[m.barrierCount++] = self;
	if (m.barrierCount == m.alive) releaseBarrier();
	resume(false);
}

bool arrive(Op op) {
	Warp& w = *self->warp;
	if (w.arrived > 0 && w.op != op) fail("lanes of one warp are at different operations");
	w.op = op;
	self->collectives++;
	w.waiting[w.arrived++] = self;
	if (w.arrived == kWarp) return false;
	resume(false);
	return true;
}

void release() {
	Warp& w = *self->warp;
	w.arrived = 0;
	for (Thread* t : w.waiting) {
		if (t != self) wake(t);
	}
}

void copyAsync(void* to, const void* from, int bytes, int zeros) {
	Copy c{to, from, bytes, zeros, self->committed};
	auto misaligned = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % (bytes + zeros) != 0; };
	if (misaligned(to) || (bytes > 0 && misaligned(from))) fail("cp.async of bytes that are not aligned");
	if (machine->eager) return finishCopy(c);
	if (self->copies == sizeof self->pending / sizeof self->pending[0]) fail("more copies under way than the emulator holds");
	self->pending[self->copies++] = c;
}

void commitCopies() { self->committed++; }

void waitCopies(int groupsLeft) {
	int kept = 0;
	for (int i = 0; i < self->copies; i++) {
		const Copy& c = self->pending[i];
		if (c.group < self->committed - groupsLeft) finishCopy(c);
		else self->pending[kept++] = c;
	}
	self->copies = kept;
}

// loadMatrix is ldmatrix: lane i gives the address of row i%8 of matrix i/8, 8 elements of 16 bits. Lane l receives
// of each matrix the elements (l/4, 2·(l%4)) and the one right of it, or, transposed, those at (2·(l%4), l/4) and below.
void loadMatrix(unsigned* r, int count, const void* row, bool transposed) {
	Warp& w = *self->warp;
	const int turn = self->collectives & 1;
	if (reinterpret_cast<uintptr_t>(row) % 16 != 0) fail("ldmatrix of a row that is not aligned to 16 bytes");
	w.row[turn][self->lane] = row;
	if (!arrive(Op::loadMatrix)) {
		for (int lane = 0; lane < kWarp; lane++) {
			for (int j = 0; j < count; j++) {
				unsigned short pair[2];
				for (int k = 0; k < 2; k++) {
					int y = lane / 4, x = 2 * (lane % 4) + k;
					if (transposed) std::swap(x, y);
					std::memcpy(&pair[k], static_cast<const char*>(w.row[turn][8 * j + y]) + 2 * x, 2);
				}
				w.matrix[turn][lane][j] = pair[0] | static_cast<unsigned>(pair[1]) << 16;
			}
		}
		release();
	}
	std::memcpy(r, w.matrix[turn][self->lane], count * sizeof *r);
}

// multiply is mma.sync m16n8k16 of bf16 with float32 sums: d [16, 8] = a [16, 16] · b [16, 8] + c. With g = lane/4 and
// t = lane%4, a lane holds, in pairs of columns (2t, 2t+1): of a, rows g and g+8 of columns 0–7, then of columns 8–15;
// of b, rows (2t, 2t+1) of column g, then those 8 below; of c and d, row g, then row g+8.
void multiply(float* d, const unsigned* a, const unsigned* b, const float* c) {
	Warp& w = *self->warp;
	auto& lanes = w.product[self->collectives & 1];
	auto& mine = lanes[self->lane];
	std::memcpy(mine.a, a, sizeof mine.a);
	std::memcpy(mine.b, b, sizeof mine.b);
	std::memcpy(mine.c, c, sizeof mine.c);
	if (!arrive(Op::product)) {
		float A[16][16], B[16][8], sum[16][8];
		auto low = [](unsigned v) { return __uint_as_float(v << 16); };
		auto high = [](unsigned v) { return __uint_as_float(v & 0xffff0000u); };
		for (int lane = 0; lane < kWarp; lane++) {
			const int g = lane / 4, t = 2 * (lane % 4);
			for (int i = 0; i < 4; i++) {
				const int row = g + 8 * (i % 2), column = t + 8 * (i / 2);
				A[row][column] = low(lanes[lane].a[i]);
				A[row][column + 1] = high(lanes[lane].a[i]);
			}
			for (int i = 0; i < 2; i++) {
				B[t + 8 * i][g] = low(lanes[lane].b[i]);
				B[t + 8 * i + 1][g] = high(lanes[lane].b[i]);
			}
			for (int i = 0; i < 4; i++) sum[g + 8 * (i / 2)][t + i % 2] = lanes[lane].c[i];
		}
		for (int i = 0; i < 16; i++) {
			for (int k = 0; k < 16; k++) {
				for (int j = 0; j < 8; j++) sum[i][j] += A[i][k] * B[k][j];
			}
		}
		for (int lane = 0; lane < kWarp; lane++) {
			for (int i = 0; i < 4; i++) lanes[lane].c[i] = sum[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
		}
		release();
	}
	std::memcpy(d, mine.c, sizeof mine.c);
}

} // namespace emu

unsigned __ballot_sync(unsigned mask, int predicate) {
	unsigned votes = 0;
	auto& slots = emu::self->warp->value[emu::self->collectives & 1];
	emu::shuffle(mask, predicate, 0, emu::Op::vote);
	for (int i = 0; i < emu::kWarp; i++) {
		int vote;
		std::memcpy(&vote, &slots[i], sizeof vote);
		votes |= static_cast<unsigned>(vote != 0) << i;
	}
	return votes;
}

// athanor_launch runs a kernel: grid and block as for cuLaunchKernel, one pointer per argument to its value. The seed
// decides the order of blocks and threads. It returns 0, or 1 and athanor_error says why.
extern "C" int athanor_launch(const char* name, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                              unsigned bz, unsigned sharedBytes, void** args, unsigned long long seed) {
	using namespace emu;
	if (machine == nullptr) createMachine();
	if (machine == nullptr) return 1;
	Machine& m = *machine;
	m.error.clear();
	const uint64_t blocks = uint64_t(gx) * gy * gz, threads = uint64_t(bx) * by * bz;
	auto found = table().find(name);
	if (found == table().end()) m.error = "there is no such kernel";
	else if (threads == 0 || threads > kMostThreads || threads % kWarp != 0) m.error = "a block needs 32 to 1024 threads, in whole warps";
	else if (blocks == 0 || gx > 0x7fffffff || gy > 65535 || gz > 65535) m.error = "a grid of that size cannot be launched";
	else if (sharedBytes > kMostShared) m.error = "that much shared memory is not to be had";
	if (m.error.empty()) {
		m.kernel = found->second;
		m.args = args;
		m.random = seed * 0x9E3779B97F4A7C15ull + 0x1234567;
		if (m.random == 0) m.random = 1;
		m.eager = next() >> 63;
		m.hasty = next() >> 63;
		std::unique_ptr<void, decltype(&std::free)> shared(std::aligned_alloc(128, (sharedBytes + 127) / 128 * 128), std::free);
		m.shared = static_cast<unsigned char*>(shared.get());
		gridSize = {gx, gy, gz};
		blockSize = {bx, by, bz};
		std::vector<uint32_t> order(blocks);
		for (uint64_t i = 0; i < blocks; i++) order[i] = uint32_t(i);
		for (uint64_t i = blocks; i > 1; i--) std::swap(order[i - 1], order[below(int(i))]);
		for (uint32_t i : order) {
			blockIndex = {i % gx, i / gx % gy, i / gx / gy};
			runBlock(int(threads), sharedBytes);
			if (!m.error.empty()) break;
		}
	}
	return m.error.empty() ? 0 : 1;
}

// athanor_error says why the last launch on this thread of the operating system failed.
extern "C" const char* athanor_error() {
	return emu::machine == nullptr ? "no memory for the stacks of a block" : emu::machine->error.c_str();
}

// athanor_kernel is the name of a kernel, in alphabetical order, or null after the last.
extern "C" const char* athanor_kernel(int i) {
	for (auto& entry : emu::table()) {
		if (i-- == 0) return entry.first.c_str();
	}
	return nullptr;
}
