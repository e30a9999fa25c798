package kernels

import (
	"embed"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// images holds one compressed file for each target, digest.txt (what they were made of) and resources.txt (registers and
// shared memory of each kernel).
//
//go:embed image
var images embed.FS

// Image returns the kernels for a GPU of the given compute capability, as cuModuleLoadData takes them: machine code where
// there is some, else PTX, which the driver compiles, with the zero byte that it wants at the end.
func Image(major, minor int) ([]byte, error) {
	for _, t := range Targets {
		fits := major == t.Major && minor >= t.Minor
		if !t.Machine {
			fits = major > t.Major || fits
		}
		if fits {
			return t.image()
		}
	}
	return nil, fmt.Errorf("the kernels need compute capability 8.0 (Ampere) or later, and this GPU has %d.%d", major, minor)
}

func (t Target) image() ([]byte, error) {
	packed, err := images.ReadFile("image/" + t.Name + ".zst")
	if err != nil {
		return nil, err
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	image, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("the kernels for %s: %w", t.Name, err)
	}
	return image, nil
}
