//go:build cuda && linux

// Command compile compiles the kernels for every target into a folder:
//
//	go run -tags cuda ./compile image
//
// It needs NVRTC, NVIDIA's compiler as a library, of the release kernels.Compiler: libnvrtc.so.12 of a CUDA toolkit, or
// that of the Python package nvidia-cuda-nvrtc-cu12. NVRTC says where it is, if the loader would not find it. No GPU is
// needed. The same sources give the same bytes.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"athanor/gpu/cuda/kernels"

	"github.com/klauspost/compress/zstd"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("compile: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: compile FOLDER")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// run writes the images, then the digest: a run that is killed leaves one that does not match.
func run(folder string) error {
	library := os.Getenv("NVRTC")
	if library == "" {
		library = "libnvrtc.so.12"
	}
	c, err := open(library)
	if err != nil {
		return err
	}
	if v := c.version(); v != kernels.Compiler {
		return fmt.Errorf("%s is NVRTC %s, and the kernels are compiled by %s", library, v, kernels.Compiler)
	}
	resources := "Registers of each kernel, and bytes of static shared memory. None spills.\n"
	for _, t := range kernels.Targets {
		image, messages, err := c.compile(t)
		if err != nil {
			return err
		}
		if t.Machine {
			resources += fmt.Sprintf("\n%s\n%s", t.Name, usage(messages))
		}
		if err := write(filepath.Join(folder, t.Name+".zst"), image); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "resources.txt"), []byte(resources), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "digest.txt"), []byte(kernels.Digest()+"\n"), 0o644)
}

func write(file string, image []byte) error {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	packed := encoder.EncodeAll(image, nil)
	if err := encoder.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, packed, 0o644)
}

var (
	entryLine = regexp.MustCompile(`Compiling entry function '(\w+)'`)
	usedLine  = regexp.MustCompile(`Used (\d+) registers`)
	smemLine  = regexp.MustCompile(`(\d+) bytes smem`)
)

// usage is a table of what the assembler says of each kernel, in the order of the sources.
func usage(messages string) string {
	var rows []string
	name := ""
	for line := range strings.Lines(messages) {
		if m := entryLine.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		if m := usedLine.FindStringSubmatch(line); m != nil {
			shared := "0"
			if s := smemLine.FindStringSubmatch(line); s != nil {
				shared = s[1]
			}
			rows = append([]string{fmt.Sprintf("%-26s %4s %6s\n", name, m[1], shared)}, rows...)
		}
	}
	return strings.Join(rows, "")
}
