package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	byteOrder = []byte{0xef, 0xbb, 0xbf} // U+FEFF, which some editors put before UTF-8
)

// A textFile is an opened file with any compression and byte order mark taken off.
type textFile struct {
	*bufio.Reader
	file  *os.File
	close func()
}

// openText opens a file. What it is compressed with is told from its first bytes, not from its name, so that equal
// content gives equal documents. What is read of the file itself is added to count.
func openText(path string, count *atomic.Int64) (*textFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &textFile{file: f, close: func() {}}
	if err := t.begin(path, count); err != nil {
		_ = f.Close() // only read
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func (t *textFile) begin(path string, count *atomic.Int64) error {
	if info, err := t.file.Stat(); err != nil {
		return err
	} else if info.IsDir() {
		return errors.New("is a folder, not a file")
	}
	raw := bufio.NewReaderSize(&countingReader{t.file, count}, 1<<17)
	head, err := raw.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var plain io.Reader = raw
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case bytes.HasPrefix(head, gzipMagic):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return damaged(err)
		}
		plain = z
	case bytes.HasPrefix(head, zstdMagic):
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return damaged(err)
		}
		plain, t.close = z, z.Close
	case ext == ".gz":
		return errors.New("is called .gz and does not begin like a gzip file: it is damaged, or rename it")
	case ext == ".zst":
		return errors.New("is called .zst and does not begin like a zstd file: it is damaged, or rename it")
	}
	if plain != raw {
		raw = bufio.NewReaderSize(&compressed{plain}, 1<<17)
	}
	if head, _ := raw.Peek(3); bytes.Equal(head, byteOrder) { // an error comes again when the text is read
		_, _ = raw.Discard(3)
	}
	t.Reader = raw
	return nil
}

// Close closes the file.
func (t *textFile) Close() {
	t.close()
	_ = t.file.Close() // only read
}

// compressed makes the errors of a decompressor say what they mean.
type compressed struct{ io.Reader }

func (c *compressed) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = damaged(err)
	}
	return n, err
}

func damaged(err error) error {
	return fmt.Errorf("the compressed data is damaged or cut short: %w", err)
}

type countingReader struct {
	r     io.Reader
	count *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count.Add(int64(n))
	return n, err
}
