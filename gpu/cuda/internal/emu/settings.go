//go:build cudaemu

package emu

import (
	"fmt"
	"strconv"
	"strings"
)

// Settings say what kind of GPU is emulated, and how it fails.
type Settings struct {
	Memory       int64 // bytes
	Major, Minor int   // compute capability
	Fault        string
	After        int // launches of the kernel Fault that succeed, before one does not
}

// Parse reads settings as an environment variable has them, for tests of a whole command: "memory=8", in MiB,
// "capability=7.5", "fault=adamw:3", with commas between. What is not set is as a GPU has it that works.
func Parse(text string) (Settings, error) {
	s := Settings{Memory: 1 << 30, Major: 8}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		var err error
		switch name {
		case "":
		case "memory":
			s.Memory, err = strconv.ParseInt(value, 10, 64)
			s.Memory <<= 20
		case "capability":
			_, err = fmt.Sscanf(value, "%d.%d", &s.Major, &s.Minor)
		case "fault":
			var after string
			s.Fault, after, _ = strings.Cut(value, ":")
			s.After, err = strconv.Atoi(after)
		default:
			err = fmt.Errorf("no such setting")
		}
		if err != nil {
			return s, fmt.Errorf("the emulator's setting %q: %w", part, err)
		}
	}
	return s, nil
}
