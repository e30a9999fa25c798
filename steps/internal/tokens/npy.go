package tokens

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
)

// Lengths are kept as a vector of int64 in numpy's format 1.0: magic, version, length of the header, a header padded
// to a multiple of 64 bytes, the numbers.
const (
	npyMagic  = "\x93NUMPY\x01\x00"
	npyHeader = "{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }"
)

func npyPreamble(n int) []byte {
	header := fmt.Sprintf(npyHeader, n)
	length := len(npyMagic) + 2 + len(header) + 1
	header += strings.Repeat(" ", (64-length%64)%64) + "\n"
	out := append([]byte(npyMagic), 0, 0)
	binary.LittleEndian.PutUint16(out[len(npyMagic):], uint16(len(header)))
	return append(out, header...)
}

func writeLengths(path string, lengths []int64) error {
	out := npyPreamble(len(lengths))
	for _, n := range lengths {
		out = binary.LittleEndian.AppendUint64(out, uint64(n))
	}
	return os.WriteFile(path, out, 0o666)
}

func readLengths(path string) ([]int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// The files are this package's own: any other header than the one it writes is damage.
	const fixed = len(npyMagic) + 2
	if len(data) < fixed {
		return nil, fmt.Errorf("%s is damaged", path)
	}
	body := fixed + int(binary.LittleEndian.Uint16(data[len(npyMagic):]))
	n := max(0, len(data)-body) / 8
	if len(data) != body+8*n || !bytes.HasPrefix(data, npyPreamble(n)) {
		return nil, fmt.Errorf("%s is damaged", path)
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(data[body+8*i:]))
	}
	return out, nil
}
