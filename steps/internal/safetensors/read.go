package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"unsafe"
)

// maxHeader is the format's own limit on the size of a header.
const maxHeader = 100_000_000

// A File is an open file of tensors.
type File struct {
	file    *os.File
	tensors map[string]Info
	data    int64 // offset of the first element
}

// Info describes a tensor of a file.
type Info struct {
	DType string // "F32", "BF16", "F16", or another of the format's
	Shape []int

	begin, end int64
}

// Len is the number of elements.
func (i Info) Len() int {
	n := 1
	for _, s := range i.Shape {
		n *= s
	}
	return n
}

// sizes lists the bytes per element of the number formats that can be read.
var sizes = map[string]int{"F32": 4, "BF16": 2, "F16": 2}

// Open reads the header of a file and checks it against the file's size.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := &File{file: file}
	if err := f.readHeader(); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func (f *File) readHeader() error {
	stat, err := f.file.Stat()
	if err != nil {
		return err
	}
	var length [8]byte
	if _, err := io.ReadFull(f.file, length[:]); err != nil {
		return errors.New("is no safetensors file: it is shorter than 8 bytes")
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > stat.Size()-8 {
		return fmt.Errorf("is no whole safetensors file: a header of %d bytes in a file of %d", n, stat.Size())
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(f.file, header); err != nil {
		return err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil {
		return fmt.Errorf("damaged header: %w", err)
	}
	f.data = 8 + int64(n)
	f.tensors = make(map[string]Info, len(raw))
	for name, value := range raw {
		if name == "__metadata__" {
			continue
		}
		info, err := parseInfo(value, stat.Size()-f.data)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		f.tensors[name] = info
	}
	return nil
}

// parseInfo reads one entry of the header; size is that of all elements of the file, in bytes.
func parseInfo(value json.RawMessage, size int64) (Info, error) {
	var entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(value, &entry); err != nil {
		return Info{}, fmt.Errorf("damaged header: %w", err)
	}
	info := Info{DType: entry.DType, Shape: entry.Shape, begin: entry.Offsets[0], end: entry.Offsets[1]}
	if info.begin < 0 || info.end < info.begin || info.end > size {
		return Info{}, fmt.Errorf("bytes %d to %d of %d: the file is cut short or damaged", info.begin, info.end, size)
	}
	elements := int64(1)
	for _, s := range info.Shape {
		if s < 0 || s > 0 && elements > math.MaxInt64/8/int64(s) {
			return Info{}, fmt.Errorf("impossible shape %v", info.Shape)
		}
		elements *= int64(s)
	}
	if b, ok := sizes[info.DType]; ok && elements*int64(b) != info.end-info.begin {
		return Info{}, fmt.Errorf("%d bytes for shape %v of %s", info.end-info.begin, info.Shape, info.DType)
	}
	return info, nil
}

// Names lists the tensors, sorted.
func (f *File) Names() []string {
	names := make([]string, 0, len(f.tensors))
	for name := range f.tensors {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Info describes a tensor; ok is false if there is none of that name.
func (f *File) Info(name string) (info Info, ok bool) {
	info, ok = f.tensors[name]
	return info, ok
}

// Read fills dst with elements of a tensor, from index from on, converted to float32.
func (f *File) Read(dst []float32, name string, from int) error {
	info, ok := f.tensors[name]
	if !ok {
		return fmt.Errorf("%s has no tensor %s", f.file.Name(), name)
	}
	size, ok := sizes[info.DType]
	if !ok {
		return fmt.Errorf("%s: tensor %s is %s: only F32, BF16 and F16 can be read", f.file.Name(), name, info.DType)
	}
	if from < 0 || from+len(dst) > info.Len() {
		return fmt.Errorf("%s: elements %d to %d of tensor %s, which has %d", f.file.Name(), from, from+len(dst), name, info.Len())
	}
	// What is read lies at the end of dst, so that no number is overwritten before it has been converted.
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(dst))), 4*len(dst))
	raw = raw[len(raw)-len(dst)*size:]
	if _, err := f.file.ReadAt(raw, f.data+info.begin+int64(from*size)); err != nil {
		return fmt.Errorf("%s: tensor %s: %w", f.file.Name(), name, err)
	}
	switch info.DType {
	case "F32":
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case "BF16":
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
		}
	case "F16":
		for i := range dst {
			dst[i] = halfToFloat(binary.LittleEndian.Uint16(raw[2*i:]))
		}
	}
	return nil
}

// halfToFloat converts an IEEE 754 binary16 exactly.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // zero and subnormal: fraction · 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31: // infinity and not-a-number
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }
