//go:build cudaemu

// All kernels, as C++ for the emulator.
#include "../../kernels/attention_flash.cu"
#include "../../kernels/attention_plain.cu"
#include "../../kernels/decode.cu"
#include "../../kernels/elementwise.cu"
#include "../../kernels/lmhead.cu"
#include "../../kernels/norm.cu"
#include "../../kernels/optimizer.cu"
#include "../../kernels/rope.cu"
#include "../../kernels/rows.cu"
#include "../../kernels/sample.cu"
