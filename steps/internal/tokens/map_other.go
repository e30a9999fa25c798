//go:build !unix

package tokens

import "os"

// A mapping is a file in memory: read whole where the system's way of mapping is not known here.
type mapping struct{ bytes []byte }

func openMapping(path string) (*mapping, error) {
	data, err := os.ReadFile(path)
	return &mapping{data}, err
}

func (m *mapping) close() error { m.bytes = nil; return nil }
