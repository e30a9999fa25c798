package gpu

import "fmt"

// A DType is the number format of a tensor's elements.
type DType uint8

const (
	F32  DType = iota // IEEE float32
	BF16              // the upper half of a float32
)

func (t DType) String() string {
	switch t {
	case F32:
		return "float32"
	case BF16:
		return "bfloat16"
	}
	return fmt.Sprintf("DType(%d)", uint8(t))
}

// A Tensor is a row-major matrix in a device's memory, or a run of whole rows of one. It is a small value: copy it
// freely. The zero Tensor stands for an operand that is left out.
type Tensor struct {
	Rows, Cols int
	Type       DType
	Mem        any // the device's own handle for the allocation
	Offset     int // of the first element, in elements, from the start of Mem
}

// IsZero reports whether the operand is left out.
func (t Tensor) IsZero() bool { return t.Mem == nil }

// Len is the number of elements.
func (t Tensor) Len() int { return t.Rows * t.Cols }

// Slice returns rows [from, to) of t. Both share memory.
func (t Tensor) Slice(from, to int) Tensor {
	if from < 0 || to < from || to > t.Rows {
		panic(fmt.Sprintf("gpu: rows %d:%d of a tensor of %d rows", from, to, t.Rows))
	}
	t.Offset += from * t.Cols
	t.Rows = to - from
	return t
}

// Reshape returns the same elements as a matrix of another shape.
func (t Tensor) Reshape(rows, cols int) Tensor {
	if rows*cols != t.Len() {
		panic(fmt.Sprintf("gpu: a %d×%d tensor seen as %d×%d", t.Rows, t.Cols, rows, cols))
	}
	t.Rows, t.Cols = rows, cols
	return t
}
