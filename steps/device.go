package steps

import (
	"fmt"
	"strings"

	"athanor/gpu"
	"athanor/gpu/cpu"
)

// OpenDevice opens a device by its name on the command line: "auto", "cpu", or "cuda" with an optional index. threads
// is for the CPU; 0 means one per core. The bits of a result never depend on it.
func OpenDevice(name string, threads int) (gpu.Device, error) {
	switch kind, _, _ := strings.Cut(name, ":"); kind {
	case "", "auto", "cpu":
		return cpu.Open(threads)
	case "cuda":
		return nil, fmt.Errorf("this build has no CUDA backend: use --device cpu")
	}
	return nil, fmt.Errorf("no device is called %q: use auto, cpu or cuda", name)
}
