package cuda

import (
	"fmt"
	"os"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// oldest is the first compute capability that the kernels are made for (Ampere, which brought bfloat16).
const oldest = 80

// blockingVariable is the environment variable that makes every launch wait, as for all programs that use CUDA.
const blockingVariable = "CUDA_LAUNCH_BLOCKING"

// A device is a GPU. Operators queue work and return; the first error of any is kept in fault.
type device struct {
	driver  driver.Driver
	arena   arena
	staging staging
	fault   error

	precision  gpu.Precision
	blocking   bool // wait for each kernel, to see which of them fails
	logitBytes int  // of a chunk of tokens in the head

	stream    streamCopy
	ropes     []*ropeTable
	tileLists []*tileList
	scratch   [scratchCount]buffer

	// Lists of the host's whose memory is kept for the next call.
	headTokens, headTargets []int32
	headFactors             []float32
	descriptions            cells
}

// newDevice puts the operators on an open driver, which it closes if it fails.
func newDevice(d driver.Driver) (*device, error) {
	dev := &device{driver: d, precision: gpu.Float32, blocking: os.Getenv(blockingVariable) == "1", logitBytes: logitBytes}
	dev.arena.driver, dev.arena.alone = d, os.Getenv(aloneVariable) == "1"
	if err := dev.staging.open(d); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("cuda: %w", err)
	}
	return dev, nil
}

// supported returns an error for a GPU that is too old for the kernels.
func supported(p driver.Properties) error {
	if 10*p.Major+p.Minor < oldest {
		return fmt.Errorf("cuda: %s has compute capability %d.%d, and the kernels need 8.0 (Ampere) or later: use --device cpu",
			p.Name, p.Major, p.Minor)
	}
	return nil
}

// Info describes the GPU.
func (d *device) Info() gpu.Info {
	p := d.driver.Properties()
	return gpu.Info{Kind: "cuda", Name: fmt.Sprintf("%s (sm_%d%d)", p.Name, p.Major, p.Minor), Memory: p.Memory}
}

// PeakBytes is the most memory that was taken from the driver, which is all that is taken now.
func (d *device) PeakBytes() int64 { return d.arena.taken }

// Sync waits for all work and returns the first fault since the device was opened.
func (d *device) Sync() error {
	if d.fault == nil {
		d.late(d.driver.Sync())
	}
	return d.fault
}

// Close gives the GPU back. The device must not be used afterwards.
func (d *device) Close() error {
	err := d.arena.close()
	if e := d.driver.Close(); err == nil {
		err = e
	}
	if d.fault != nil {
		return nil // it was reported, and a GPU after a fault fails at everything
	}
	return err
}

// keep records the first fault.
func (d *device) keep(err error) {
	if err != nil && d.fault == nil {
		d.fault = fmt.Errorf("cuda: %w", err)
	}
}

// late records an error of work that was queued at some time before.
func (d *device) late(err error) {
	if err != nil {
		d.keep(fmt.Errorf("%w; with %s=1 in the environment the error names the kernel", err, blockingVariable))
	}
}

// launch queues a kernel.
func (d *device) launch(l driver.Launch) {
	if d.fault != nil {
		return
	}
	err := d.driver.Launch(l)
	if err == nil && d.blocking {
		err = d.driver.Sync()
	}
	if err != nil {
		d.keep(fmt.Errorf("kernel %s: %w", l.Kernel, err))
	}
}
