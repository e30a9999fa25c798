//go:build unix

package tokens

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A mapping is a file in memory, read only; the kernel brings in what is touched.
type mapping struct{ bytes []byte }

func openMapping(path string) (*mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the mapping outlives it
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 { // which cannot be mapped
		return &mapping{}, nil
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %s into memory: %w", path, err)
	}
	return &mapping{data}, nil
}

func (m *mapping) close() error {
	if m.bytes == nil {
		return nil
	}
	data := m.bytes
	m.bytes = nil
	return unix.Munmap(data)
}
