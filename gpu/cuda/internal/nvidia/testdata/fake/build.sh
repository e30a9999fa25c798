#!/usr/bin/env bash
# build.sh FOLDER: makes libcuda.so.1 and libcublasLt.so.13 there. Binaries built with the tag cuda take them for a GPU when
# LD_LIBRARY_PATH names the folder. It needs g++ alone.
set -euo pipefail
folder=$(realpath "$1")
cd "$(dirname "$0")"
emulator=../../../emu
flags=(-std=c++17 -O2 -fPIC -shared -DATHANOR_EMULATOR "-I$emulator" -Wno-unknown-pragmas)
g++ "${flags[@]}" -Wl,-soname,libcuda.so.1 -o "$folder/libcuda.so.1" libcuda.cpp "$emulator"/emulator.cpp "$emulator"/kernels.cpp
g++ "${flags[@]}" -Wl,-soname,libcublasLt.so.13 -o "$folder/libcublasLt.so.13" libcublasLt.cpp
