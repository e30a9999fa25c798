package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// counted returns a tensor whose elements count up from start.
func counted(name string, start float32, shape ...int) Tensor {
	next := start
	return Tensor{Name: name, Shape: shape, Read: func(dst []float32) error {
		for i := range dst {
			dst[i] = next
			next++
		}
		return nil
	}}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	big := part + 3 // more than one part
	err := Write(path, []Tensor{
		counted("b", 10, 2, 3), counted("a.weight", 0, big), counted("empty", 0, 0, 4), counted("scalar", 7),
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := f.Names(), []string{"a.weight", "b", "empty", "scalar"}; !reflect.DeepEqual(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
	info, ok := f.Info("b")
	if !ok || info.DType != "F32" || !reflect.DeepEqual(info.Shape, []int{2, 3}) || info.Len() != 6 {
		t.Errorf("b is %+v, %v", info, ok)
	}
	if _, ok := f.Info("c"); ok {
		t.Error("there is a tensor c")
	}
	for _, test := range []struct {
		name string
		from int
		want []float32
	}{
		{"b", 0, []float32{10, 11, 12, 13, 14, 15}},
		{"b", 4, []float32{14, 15}},
		{"a.weight", big - 2, []float32{float32(big - 2), float32(big - 1)}},
		{"scalar", 0, []float32{7}},
		{"empty", 0, []float32{}},
	} {
		got := make([]float32, len(test.want))
		if err := f.Read(got, test.name, test.from); err != nil {
			t.Errorf("%s from %d: %v", test.name, test.from, err)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s from %d: %v, want %v", test.name, test.from, got, test.want)
		}
	}
	for name, from := range map[string]int{"b": 5, "c": 0} {
		if err := f.Read(make([]float32, 2), name, from); err == nil {
			t.Errorf("two elements of %s from %d: no error", name, from)
		}
	}
}

func TestWriteErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, []Tensor{counted("a", 0, 1), counted("a", 0, 1)}); err == nil {
		t.Error("two tensors of one name: no error")
	}
	broken := errors.New("broken")
	err := Write(path, []Tensor{{Name: "a", Shape: []int{1}, Read: func([]float32) error { return broken }}})
	if !errors.Is(err, broken) {
		t.Errorf("a source that fails: %v", err)
	}
}

// file builds a file from a header and data.
func file(t *testing.T, header string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	raw := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	raw = append(append(raw, header...), data...)
	if err := os.WriteFile(path, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHalves reads numbers of both 16-bit formats whose values are known exactly.
func TestHalves(t *testing.T) {
	infinity := float32(math.Inf(1))
	cases := map[string]struct {
		bits []uint16
		want []float32
	}{
		"F16": {
			[]uint16{0x0000, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x8400, 0x03ff, 0x7c00, 0xfc00},
			[]float32{0, 1, -2, 0.333251953125, 65504, 1.0 / (1 << 24), -1.0 / (1 << 14), 1023.0 / (1 << 24), infinity, -infinity},
		},
		"BF16": {
			[]uint16{0x0000, 0x3f80, 0xc000, 0x3eab, 0x7f80, 0x0001},
			[]float32{0, 1, -2, 0.333984375, infinity, math.Float32frombits(1 << 16)},
		},
	}
	for dtype, test := range cases {
		var data []byte
		for _, b := range test.bits {
			data = binary.LittleEndian.AppendUint16(data, b)
		}
		header := fmt.Sprintf(`{"x":{"dtype":%q,"shape":[%d],"data_offsets":[0,%d]}}`, dtype, len(test.bits), len(data))
		f, err := Open(file(t, header, data))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(test.want))
		if err := f.Read(got, "x", 0); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v, want %v", dtype, got, test.want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := halfToFloat(0x7e00); got == got {
		t.Errorf("F16 not-a-number reads as %v", got)
	}
	if got := math.Float32bits(halfToFloat(0x8000)); got != 1<<31 {
		t.Errorf("F16 minus zero reads as %#x", got)
	}
}

func TestDamagedFiles(t *testing.T) {
	cases := map[string]struct{ header, want string }{
		"no json":        {`{"x"`, "damaged header"},
		"cut short":      {`{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, "cut short"},
		"backwards":      {`{"x":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}`, "damaged"},
		"other length":   {`{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, "8 bytes for shape [3]"},
		"negative":       {`{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}`, "impossible shape"},
		"enormous":       {`{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}`, "impossible shape"},
		"entry no table": {`{"x":3}`, "tensor x"},
	}
	for name, test := range cases {
		f, err := Open(file(t, test.header, make([]byte, 8)))
		if err == nil {
			f.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %q, want %q in it", name, err, test.want)
		}
	}
	short := filepath.Join(t.TempDir(), "short")
	for _, content := range []string{"", "1234567", "\xff\xff\xff\xff\xff\xff\xff\xff{}", "\x09\x00\x00\x00\x00\x00\x00\x00{}"} {
		if err := os.WriteFile(short, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(short); err == nil {
			f.Close()
			t.Errorf("a file of %q: no error", content)
		}
	}
	f, err := Open(file(t, `{"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Read(make([]float32, 1), "x", 0); err == nil || !strings.Contains(err.Error(), "I64") {
		t.Errorf("whole numbers: %v", err)
	}
}
