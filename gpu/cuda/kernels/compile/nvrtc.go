//go:build cuda && linux

package main

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// NVRTC's functions, as its documentation declares them: all return 0 or the number of an error.
typedef int (*versionFunc)(int*, int*);
typedef int (*createFunc)(void**, const char*, const char*, int, const char* const*, const char* const*);
typedef int (*compileFunc)(void*, int, const char* const*);
typedef int (*sizeFunc)(void*, size_t*);
typedef int (*textFunc)(void*, char*);
typedef int (*destroyFunc)(void**);

static int version(void* f, int* major, int* minor) { return ((versionFunc)f)(major, minor); }
static int create(void* f, void** program, const char* source, int n, const char* const* texts, const char* const* names) {
	return ((createFunc)f)(program, source, "kernels.cu", n, texts, names);
}
static int compile(void* f, void* program, int n, const char* const* options) { return ((compileFunc)f)(program, n, options); }
static int size(void* f, void* program, size_t* n) { return ((sizeFunc)f)(program, n); }
static int text(void* f, void* program, char* to) { return ((textFunc)f)(program, to); }
static int destroy(void* f, void** program) { return ((destroyFunc)f)(program); }
*/
import "C"

import (
	"fmt"
	"strings"
	"unsafe"

	"athanor/gpu/cuda/kernels"
)

// A compiler is NVRTC: its functions by name.
type compiler map[string]unsafe.Pointer

func open(library string) (compiler, error) {
	file := C.CString(library)
	defer C.free(unsafe.Pointer(file))
	handle := C.dlopen(file, C.RTLD_NOW)
	if handle == nil {
		return nil, fmt.Errorf("NVRTC %s is needed: %s\nset NVRTC to the path of libnvrtc.so.12, for instance of the Python package nvidia-cuda-nvrtc-cu12",
			kernels.Compiler, C.GoString(C.dlerror()))
	}
	c := compiler{}
	for _, name := range []string{
		"nvrtcVersion", "nvrtcCreateProgram", "nvrtcCompileProgram", "nvrtcDestroyProgram", "nvrtcGetProgramLogSize",
		"nvrtcGetProgramLog", "nvrtcGetCUBINSize", "nvrtcGetCUBIN", "nvrtcGetPTXSize", "nvrtcGetPTX",
	} {
		symbol := C.CString(name)
		c[name] = C.dlsym(handle, symbol)
		C.free(unsafe.Pointer(symbol))
		if c[name] == nil {
			return nil, fmt.Errorf("%s has no function %s", library, name)
		}
	}
	return c, nil
}

func (c compiler) version() string {
	var major, minor C.int
	C.version(c["nvrtcVersion"], &major, &minor)
	return fmt.Sprintf("%d.%d", major, minor)
}

// compile returns the image for a target, and what compiler and assembler said. A warning is an error.
func (c compiler) compile(t kernels.Target) (image []byte, messages string, err error) {
	source := ""
	for _, name := range kernels.Files(false) {
		source += "#include \"" + name + "\"\n"
	}
	var names, texts []string
	for _, name := range kernels.Files(true) {
		text, err := kernels.Source.ReadFile(name)
		if err != nil {
			return nil, "", err
		}
		names, texts = append(names, name), append(texts, string(text))
	}
	text, headers, contents := list([]string{source}), list(names), list(texts)
	options := list(append([]string{"--gpu-architecture=" + t.Name}, kernels.Options...))
	defer release(text, headers, contents, options)

	var program unsafe.Pointer
	if code := C.create(c["nvrtcCreateProgram"], &program, text[0], C.int(len(names)), &contents[0], &headers[0]); code != 0 {
		return nil, "", fmt.Errorf("nvrtcCreateProgram: error %d", code)
	}
	defer C.destroy(c["nvrtcDestroyProgram"], &program)
	failed := C.compile(c["nvrtcCompileProgram"], program, C.int(len(options)), &options[0])
	log, err := c.read(program, "nvrtcGetProgramLog")
	if err != nil {
		return nil, "", err
	}
	messages = string(log)
	if failed != 0 || strings.Contains(messages, "warning") {
		return nil, "", fmt.Errorf("%s: NVRTC returned %d and said:\n%s", t.Name, failed, messages)
	}
	if t.Machine {
		image, err = c.read(program, "nvrtcGetCUBIN")
	} else {
		image, err = c.read(program, "nvrtcGetPTX")
	}
	return image, messages, err
}

// read calls a function of NVRTC that fills memory, whose size name+"Size" tells.
func (c compiler) read(program unsafe.Pointer, name string) ([]byte, error) {
	var n C.size_t
	if code := C.size(c[name+"Size"], program, &n); code != 0 {
		return nil, fmt.Errorf("%sSize: error %d", name, code)
	}
	to := make([]byte, n)
	if n == 0 {
		return to, nil
	}
	if code := C.text(c[name], program, (*C.char)(unsafe.Pointer(&to[0]))); code != 0 {
		return nil, fmt.Errorf("%s: error %d", name, code)
	}
	return to, nil
}

// list is strings as C has them, until release.
func list(texts []string) []*C.char {
	var all []*C.char
	for _, t := range texts {
		all = append(all, C.CString(t))
	}
	return all
}

func release(lists ...[]*C.char) {
	for _, l := range lists {
		for _, s := range l {
			C.free(unsafe.Pointer(s))
		}
	}
}
