package tokens

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
)

// The format of Megatron-LM's indexed datasets (megatron/core/datasets/indexed_dataset.py), little-endian throughout.
// NAME.bin holds the ids of all documents one after another; NAME.idx is
//
//	9 bytes    magic "MMIDIDX\0\0"
//	uint64     version 1
//	uint8      number format of the ids: 4 is int32, 8 is uint16
//	uint64     S, the number of sequences
//	uint64     D+1, the length of the document index
//	int32[S]   tokens of each sequence
//	int64[S]   byte offset of each sequence in NAME.bin
//	int64[D+1] the first sequence of each document, then S
//
// Here every document is one sequence.
const (
	indexMagic   = "MMIDIDX\x00\x00"
	indexVersion = 1
	indexHeader  = len(indexMagic) + 8 + 1 + 8 + 8
	codeInt32    = 4
	codeUint16   = 8
)

// An Indexed is a file of token ids mapped into memory. Its methods may be called from several goroutines.
type Indexed struct {
	data  *mapping
	width int     // bytes per id: 2 or 4
	at    []int64 // where each document begins, in tokens; then the number of all tokens
}

// OpenIndexed opens base.bin and base.idx.
func OpenIndexed(base string) (*Indexed, error) {
	path := base + ".idx"
	index, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ix := &Indexed{}
	if err := ix.parse(index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if ix.data, err = openMapping(base + ".bin"); err != nil {
		return nil, err
	}
	if want := ix.Tokens() * int64(ix.width); int64(len(ix.data.bytes)) != want {
		err := fmt.Errorf("%s.bin has %d bytes, its index says %d", base, len(ix.data.bytes), want)
		return nil, errors.Join(err, ix.data.close())
	}
	return ix, nil
}

func (ix *Indexed) parse(index []byte) error {
	if len(index) < indexHeader || !bytes.HasPrefix(index, []byte(indexMagic)) {
		return errors.New("not a Megatron index")
	}
	rest := index[len(indexMagic):]
	if v := binary.LittleEndian.Uint64(rest); v != indexVersion {
		return fmt.Errorf("version %d of the index, this program reads %d", v, indexVersion)
	}
	switch code := rest[8]; code {
	case codeUint16:
		ix.width = 2
	case codeInt32:
		ix.width = 4
	default:
		return fmt.Errorf("number format %d, this program reads %d (int32) and %d (uint16)", code, codeInt32, codeUint16)
	}
	count, documents := binary.LittleEndian.Uint64(rest[9:]), binary.LittleEndian.Uint64(rest[17:])
	rest = index[indexHeader:]
	if count > math.MaxInt32 || documents != count+1 || uint64(len(rest)) != 12*count+8*documents {
		return fmt.Errorf("damaged: %d sequences in %d documents do not fit a file of %d bytes", count, int64(documents)-1, len(index))
	}
	n := int(count)
	ix.at = make([]int64, n+1)
	for i := range n {
		size := int32(binary.LittleEndian.Uint32(rest[4*i:]))
		offset := binary.LittleEndian.Uint64(rest[4*n+8*i:])
		if size < 0 || offset != uint64(ix.at[i])*uint64(ix.width) {
			return fmt.Errorf("damaged: sequence %d has %d tokens at byte %d", i, size, offset)
		}
		ix.at[i+1] = ix.at[i] + int64(size)
	}
	return nil
}

// Len is the number of documents.
func (ix *Indexed) Len() int { return len(ix.at) - 1 }

// Tokens is the number of tokens of all documents.
func (ix *Indexed) Tokens() int64 { return ix.at[len(ix.at)-1] }

// Size is the number of tokens of document i.
func (ix *Indexed) Size(i int) int { return int(ix.at[i+1] - ix.at[i]) }

// Append adds tokens [from, to) of document i to dst.
func (ix *Indexed) Append(dst []int32, i, from, to int) []int32 {
	if from < 0 || to < from || to > ix.Size(i) {
		panic(fmt.Sprintf("tokens: tokens %d:%d of a document of %d", from, to, ix.Size(i)))
	}
	w := int64(ix.width)
	src := ix.data.bytes[(ix.at[i]+int64(from))*w : (ix.at[i]+int64(to))*w]
	if ix.width == 2 {
		for ; len(src) >= 2; src = src[2:] {
			dst = append(dst, int32(binary.LittleEndian.Uint16(src)))
		}
		return dst
	}
	for ; len(src) >= 4; src = src[4:] {
		dst = append(dst, int32(binary.LittleEndian.Uint32(src)))
	}
	return dst
}

// Close unmaps the file.
func (ix *Indexed) Close() error { return ix.data.close() }
