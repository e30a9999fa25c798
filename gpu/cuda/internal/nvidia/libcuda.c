//go:build cuda

// libcuda.so.1 belongs to the driver. Linked the usual way, a binary could not even start where there is none, and
// package cu ends the process when cuInit fails, before main. So the binary holds a function for each that cu calls
// (cuda.h of CUDA 11 and 12 give three of them different names), which jumps to the driver's own once
// athanor_load_driver has opened it. Until then cuInit succeeds and all others report CUDA_ERROR_NOT_INITIALIZED.
//
// The list is what the linker calls undefined if it is empty.

#include <dlfcn.h>
#include <stddef.h>

#define FUNCTIONS(X) \
    X(cuArray3DCreate_v2) X(cuArray3DGetDescriptor_v2) X(cuArrayCreate_v2) X(cuArrayDestroy) \
    X(cuArrayGetDescriptor_v2) X(cuCtxCreate_v2) X(cuCtxDestroy_v2) X(cuCtxDisablePeerAccess) \
    X(cuCtxEnablePeerAccess) X(cuCtxGetApiVersion) X(cuCtxGetCacheConfig) X(cuCtxGetCurrent) X(cuCtxGetDevice) \
    X(cuCtxGetFlags) X(cuCtxGetLimit) X(cuCtxGetSharedMemConfig) X(cuCtxGetStreamPriorityRange) \
    X(cuCtxPopCurrent_v2) X(cuCtxPushCurrent_v2) X(cuCtxResetPersistingL2Cache) X(cuCtxSetCacheConfig) \
    X(cuCtxSetCurrent) X(cuCtxSetLimit) X(cuCtxSetSharedMemConfig) X(cuCtxSynchronize) X(cuDeviceCanAccessPeer) \
    X(cuDeviceGet) X(cuDeviceGetAttribute) X(cuDeviceGetCount) X(cuDeviceGetName) X(cuDeviceGetP2PAttribute) \
    X(cuDeviceGetUuid) X(cuDevicePrimaryCtxGetState) X(cuDevicePrimaryCtxRelease_v2) X(cuDevicePrimaryCtxReset_v2) \
    X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxSetFlags_v2) X(cuDeviceTotalMem_v2) X(cuDriverGetVersion) \
    X(cuEventCreate) X(cuEventDestroy_v2) X(cuEventElapsedTime) X(cuEventQuery) X(cuEventRecord) \
    X(cuEventSynchronize) X(cuFuncGetAttribute) X(cuFuncSetAttribute) X(cuFuncSetCacheConfig) \
    X(cuFuncSetSharedMemConfig) X(cuGraphAddChildGraphNode) X(cuGraphAddDependencies) X(cuGraphAddEmptyNode) \
    X(cuGraphAddHostNode) X(cuGraphAddKernelNode) X(cuGraphAddKernelNode_v2) X(cuGraphAddMemcpyNode) \
    X(cuGraphAddMemsetNode) X(cuGraphClone) X(cuGraphCreate) X(cuGraphDestroy) X(cuGraphDestroyNode) \
    X(cuGraphExecDestroy) X(cuGraphGetEdges) X(cuLaunchKernel) X(cuLinkAddData_v2) X(cuLinkAddFile_v2) \
    X(cuLinkComplete) X(cuLinkCreate_v2) X(cuLinkDestroy) X(cuMemAdvise) X(cuMemAllocManaged) X(cuMemAllocPitch_v2) \
    X(cuMemAlloc_v2) X(cuMemFreeHost) X(cuMemFree_v2) X(cuMemGetAddressRange_v2) X(cuMemGetInfo_v2) \
    X(cuMemHostAlloc) X(cuMemPrefetchAsync) X(cuMemcpy) X(cuMemcpy2DAsync_v2) X(cuMemcpy2DUnaligned_v2) \
    X(cuMemcpy2D_v2) X(cuMemcpy3DAsync_v2) X(cuMemcpy3DPeer) X(cuMemcpy3DPeerAsync) X(cuMemcpy3D_v2) \
    X(cuMemcpyAsync) X(cuMemcpyAtoA_v2) X(cuMemcpyAtoD_v2) X(cuMemcpyAtoHAsync_v2) X(cuMemcpyAtoH_v2) \
    X(cuMemcpyDtoA_v2) X(cuMemcpyDtoDAsync_v2) X(cuMemcpyDtoD_v2) X(cuMemcpyDtoHAsync_v2) X(cuMemcpyDtoH_v2) \
    X(cuMemcpyHtoAAsync_v2) X(cuMemcpyHtoA_v2) X(cuMemcpyHtoDAsync_v2) X(cuMemcpyHtoD_v2) X(cuMemcpyPeer) \
    X(cuMemcpyPeerAsync) X(cuMemsetD16Async) X(cuMemsetD16_v2) X(cuMemsetD2D16Async) X(cuMemsetD2D16_v2) \
    X(cuMemsetD2D32Async) X(cuMemsetD2D32_v2) X(cuMemsetD2D8Async) X(cuMemsetD2D8_v2) X(cuMemsetD32Async) \
    X(cuMemsetD32_v2) X(cuMemsetD8Async) X(cuMemsetD8_v2) X(cuModuleGetFunction) X(cuModuleGetGlobal_v2) \
    X(cuModuleGetSurfRef) X(cuModuleGetTexRef) X(cuModuleLoad) X(cuModuleLoadData) X(cuModuleLoadDataEx) \
    X(cuModuleLoadFatBinary) X(cuModuleUnload) X(cuOccupancyMaxActiveBlocksPerMultiprocessor) \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags) X(cuPointerGetAttribute) X(cuPointerSetAttribute) \
    X(cuStreamAttachMemAsync) X(cuStreamCreate) X(cuStreamCreateWithPriority) X(cuStreamDestroy_v2) \
    X(cuStreamGetFlags) X(cuStreamGetPriority) X(cuStreamQuery) X(cuStreamSynchronize) X(cuStreamWaitEvent) \
    X(cuStreamWaitValue32) X(cuStreamWaitValue32_v2) X(cuStreamWriteValue32) X(cuStreamWriteValue32_v2) \
    X(cuSurfRefGetArray) X(cuSurfRefSetArray) X(cuTexRefGetAddressMode) X(cuTexRefGetAddress_v2) X(cuTexRefGetArray) \
    X(cuTexRefGetBorderColor) X(cuTexRefGetFilterMode) X(cuTexRefGetFlags) X(cuTexRefGetFormat) \
    X(cuTexRefGetMaxAnisotropy) X(cuTexRefSetAddress2D_v3) X(cuTexRefSetAddressMode) X(cuTexRefSetAddress_v2) \
    X(cuTexRefSetArray) X(cuTexRefSetBorderColor) X(cuTexRefSetFilterMode) X(cuTexRefSetFlags) X(cuTexRefSetFormat) \
    X(cuTexRefSetMaxAnisotropy) X(cuTexRefSetMipmapFilterMode) X(cuTexRefSetMipmapLevelBias) \
    X(cuTexRefSetMipmapLevelClamp)

#define HIDDEN __attribute__((visibility("hidden"), used))

HIDDEN int athanor_not_loaded(void) { return 3; } // CUDA_ERROR_NOT_INITIALIZED

#if defined(__x86_64__)
#define JUMP(name) "jmp *athanor_" #name "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(name) \
    "adrp x16, athanor_" #name "\n" \
    "ldr x16, [x16, :lo12:athanor_" #name "]\n" \
    "br x16\n"
#else
#error "the CUDA backend runs on amd64 and arm64"
#endif

#define FORWARD(name) \
    HIDDEN void *athanor_##name = (void *)athanor_not_loaded; \
    __asm__(".pushsection .text\n.p2align 4\n.globl " #name "\n.hidden " #name "\n.type " #name ", %function\n" #name ":\n" JUMP(name) ".popsection");
FUNCTIONS(FORWARD)

// cuInit is called by package cu as it is initialised, and has nothing to do then.
HIDDEN int cuInit(unsigned flags) { (void)flags; return 0; }

// athanor_load_driver opens the driver and initialises it. It returns cuInit's result, or -1 if there is no driver.
int athanor_load_driver(void) {
    static void *library;
    static const char *const places[] = {
        "libcuda.so.1", "libcuda.so", "/usr/local/nvidia/lib64/libcuda.so.1", // where containers are lent it
        "/usr/lib/wsl/lib/libcuda.so.1",
    };
    for (size_t i = 0; library == NULL && i < sizeof places / sizeof *places; i++)
        library = dlopen(places[i], RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL)
        return -1;
    int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
    if (init == NULL)
        return -1;
#define RESOLVE(name) \
    { \
        void *f = dlsym(library, #name); \
        if (f != NULL) \
            athanor_##name = f; \
    }
    FUNCTIONS(RESOLVE)
    return init(0);
}
