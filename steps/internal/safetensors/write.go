package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
)

// A Tensor is one to write, as float32.
type Tensor struct {
	Name  string
	Shape []int
	// Read fills dst with the next elements. It is called with parts in order until all have been asked for.
	Read func(dst []float32) error
}

// part is how many elements are asked for at once.
const part = 1 << 18

// Write writes the tensors, sorted by name as Hugging Face's own writer does, and flushes the file to the disk.
func Write(path string, tensors []Tensor) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = write(f, tensors)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func write(w io.Writer, tensors []Tensor) error {
	tensors = append([]Tensor(nil), tensors...)
	sort.Slice(tensors, func(i, j int) bool { return tensors[i].Name < tensors[j].Name })
	header, err := encodeHeader(tensors)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(header)))
	if _, err := out.Write(length[:]); err != nil {
		return err
	}
	if _, err := out.Write(header); err != nil {
		return err
	}
	buf, raw := make([]float32, part), make([]byte, 4*part)
	for _, t := range tensors {
		for left := t.len(); left > 0; left -= len(buf) {
			buf = buf[:min(part, left)]
			if err := t.Read(buf); err != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, err)
			}
			for i, v := range buf {
				binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
			}
			if _, err := out.Write(raw[:4*len(buf)]); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

func (t Tensor) len() int { return Info{Shape: t.Shape}.Len() }

// encodeHeader writes the header with its entries in the order of the data, padded so that the data is aligned.
func encodeHeader(tensors []Tensor) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"__metadata__":{"format":"pt"}`) // transformers refuses files without it
	var offset int64
	for i, t := range tensors {
		if i > 0 && t.Name == tensors[i-1].Name {
			return nil, fmt.Errorf("two tensors are called %s", t.Name)
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, err
		}
		shape, err := json.Marshal(append([]int{}, t.Shape...))
		if err != nil {
			return nil, err
		}
		end := offset + 4*int64(t.len())
		fmt.Fprintf(&b, `,%s:{"dtype":"F32","shape":%s,"data_offsets":[%d,%d]}`, name, shape, offset, end)
		offset = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	return b.Bytes(), nil
}
