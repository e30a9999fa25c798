package evaluate

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os/exec"
)

// A baseline is a compressor that reads the same text as the model: all documents of a dataset, one after the other, so
// that it may learn from the earlier ones what comes in the later ones, which the model may not.
type baseline struct {
	name  string // of the value output
	title string // in tables
	open  func(ctx context.Context) (compressor, error)
}

// A compressor counts what comes out of it.
type compressor interface {
	io.Writer
	// Finish ends the input and returns the size of the output in bytes.
	Finish() (int64, error)
}

// baselines lists the compressors that the block asks for and this machine has; missing names those it has not.
func (c *Config) baselines() (list []baseline, missing []string) {
	for _, name := range c.Baselines {
		switch name {
		case "gzip":
			list = append(list, baseline{"gzip", "gzip -9", openGzip})
		case "xz":
			program, err := exec.LookPath("xz")
			if err != nil {
				missing = append(missing, "xz")
				continue
			}
			list = append(list, baseline{"xz", "xz -9e", func(ctx context.Context) (compressor, error) { return openXZ(ctx, program) }})
		}
	}
	return list, missing
}

// A count is a writer that keeps the length alone.
type count int64

func (c *count) Write(p []byte) (int, error) {
	*c += count(len(p))
	return len(p), nil
}

type gzipCompressor struct {
	*gzip.Writer
	out count
}

func openGzip(context.Context) (compressor, error) {
	c := &gzipCompressor{}
	var err error
	c.Writer, err = gzip.NewWriterLevel(&c.out, gzip.BestCompression)
	return c, err
}

func (c *gzipCompressor) Finish() (int64, error) {
	err := c.Close()
	return int64(c.out), err
}

// An xzCompressor is the program xz. No Go library comes near to its ratio.
type xzCompressor struct {
	io.WriteCloser
	cmd *exec.Cmd
	out count
}

func openXZ(ctx context.Context, program string) (compressor, error) {
	c := &xzCompressor{cmd: exec.CommandContext(ctx, program, "-9e", "-T1", "-c")}
	c.cmd.Env = []string{} // XZ_DEFAULTS and XZ_OPT would change what is measured
	c.cmd.Stdout = &c.out
	var err error
	if c.WriteCloser, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return c, nil
}

func (c *xzCompressor) Finish() (int64, error) {
	err := c.Close()
	if e := c.cmd.Wait(); e != nil {
		err = e
	}
	return int64(c.out), err
}
