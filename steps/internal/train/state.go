package train

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"athanor/gpu"
)

// state is everything a run carries from one step to the next, but for what lies on the device: the weights and the two
// moments of each, which stand in a file beside it, and their average, which stands in another.
type state struct {
	Step     int64 `json:"step"`     // optimizer steps taken
	Tokens   int64 `json:"tokens"`   // consumed
	Updates  int   `json:"updates"`  // of the weights: steps that had anything to learn and were taken
	Skipped  int64 `json:"skipped"`  // steps that were spikes and not taken
	Observed int64 `json:"observed"` // tokens consumed at the last observation

	LR       float64 `json:"lr"`        // of the last step
	LastLoss float64 `json:"last_loss"` // of the last update
	LateLoss float64 `json:"late_loss"` // summed over the units that the summary's loss is of
	LateUnit int64   `json:"late_units"`

	Source   []byte   `json:"source"`
	Observer []byte   `json:"observer,omitempty"`
	Tensors  []string `json:"tensors"` // names in the order of the file
	Spikes   *guard   `json:"spikes,omitempty"`
	Samples  int64    `json:"samples,omitempty"` // of the weights that the average is of
}

const (
	stateName   = "state.json"
	tensorsName = "tensors.f32" // per tensor: weights (masters where there are), first moments, second moments; float32, little-endian
	averageName = "average.f32" // per tensor: the average of its weights; as above
)

// save writes a checkpoint's files.
func (l *Loop) save(dir string) error {
	var err error
	s := l.state
	s.Updates, s.Tensors, s.Spikes = l.trainer.optimizer.updates, l.trainer.optimizer.names, l.trainer.guard
	if l.averager != nil {
		s.Samples = l.averager.samples
	}
	if s.Source, err = l.Source.State(); err != nil {
		return fmt.Errorf("the state of the data: %w", err)
	}
	if l.Observer != nil {
		if s.Observer, err = l.Observer.State(); err != nil {
			return fmt.Errorf("the state of the observations: %w", err)
		}
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, stateName), data, 0o666); err != nil {
		return err
	}
	if err := create(filepath.Join(dir, tensorsName), l.trainer.optimizer.write); err != nil || l.averager == nil {
		return err
	}
	return create(filepath.Join(dir, averageName), l.averager.write)
}

// create writes a file.
func create(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// open reads a file, which must end where read stops.
func open(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 4*chunk)
	if err := read(in); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s is longer than the model", filepath.Base(path))
	}
	return nil
}

// load reads what save wrote.
func (l *Loop) load(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%s: %w", stateName, err)
	}
	o := l.trainer.optimizer
	if fmt.Sprint(s.Tensors) != fmt.Sprint(o.names) {
		return errors.New("the checkpoint is of another model")
	}
	if err := open(filepath.Join(dir, tensorsName), o.read); err != nil {
		return err
	}
	if l.averager != nil {
		if err := open(filepath.Join(dir, averageName), l.averager.read); err != nil {
			return err
		}
		l.averager.samples = s.Samples
	}
	if l.trainer.guard != nil && s.Spikes != nil {
		l.trainer.guard.Loss, l.trainer.guard.Norm = s.Spikes.Loss, s.Spikes.Norm
	}
	if err := l.Source.Restore(s.Source); err != nil {
		return fmt.Errorf("the state of the data: %w", err)
	}
	if l.Observer != nil {
		if err := l.Observer.Restore(s.Observer); err != nil {
			return fmt.Errorf("the state of the observations: %w", err)
		}
	}
	o.updates = s.Updates
	s.Source, s.Observer, s.Tensors, s.Spikes = nil, nil, nil, nil
	l.state = s
	return nil
}

// chunk is how many elements pass through host memory at once.
const chunk = 1 << 18

// write puts the weights and moments into w.
func (o *optimizer) write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 4*chunk)
	values, bytes := make([]float32, chunk), make([]byte, 4*chunk)
	err := o.chunks(func(part part) error {
		v := values[:part.n]
		part.read(v)
		return writeFloats(out, v, bytes)
	})
	if err == nil {
		err = o.dev.Sync()
	}
	if err == nil {
		err = out.Flush()
	}
	return err
}

// read sets the weights and moments from what write wrote.
func (o *optimizer) read(r io.Reader) error {
	values, bytes := make([]float32, chunk), make([]byte, 4*chunk)
	err := o.chunks(func(part part) error {
		v := values[:part.n]
		if err := readFloats(r, v, bytes); err != nil {
			return err
		}
		part.write(v)
		return nil
	})
	if err == nil {
		err = o.dev.Sync()
	}
	return err
}

// A part is n elements of a weight or of a moment.
type part struct {
	n     int
	read  func(dst []float32)
	write func(src []float32)
}

// chunks visits all weights and moments, piece by piece.
func (o *optimizer) chunks(visit func(part) error) error {
	for i, p := range o.params {
		weight := func(from, n int) part {
			return part{n, func(dst []float32) { p.Read(o.dev, dst, from) }, func(src []float32) { p.Write(o.dev, from, src) }}
		}
		for _, pieces := range []func(from, n int) part{weight, o.moment(o.tensors[i].M), o.moment(o.tensors[i].V)} {
			for from := 0; from < p.Weight.Len(); from += chunk {
				if err := visit(pieces(from, min(chunk, p.Weight.Len()-from))); err != nil {
					return fmt.Errorf("%s: %w", o.names[i], err)
				}
			}
		}
	}
	return nil
}

// moment cuts a moment into parts.
func (o *optimizer) moment(t gpu.Tensor) func(from, n int) part {
	return func(from, n int) part {
		some := t.Reshape(t.Len(), 1).Slice(from, from+n)
		return part{n, func(dst []float32) { o.dev.Read(dst, some) }, func(src []float32) { o.dev.Write(some, src) }}
	}
}

// write puts the average into w.
func (a *averager) write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 4*chunk)
	if err := writeFloats(out, a.values, make([]byte, 4*chunk)); err != nil {
		return err
	}
	return out.Flush()
}

// read sets the average from what write wrote.
func (a *averager) read(r io.Reader) error { return readFloats(r, a.values, make([]byte, 4*chunk)) }

// writeFloats writes float32, little-endian, through a buffer of 4·chunk bytes.
func writeFloats(w io.Writer, values []float32, buffer []byte) error {
	for part := range slices.Chunk(values, chunk) {
		for i, x := range part {
			binary.LittleEndian.PutUint32(buffer[4*i:], math.Float32bits(x))
		}
		if _, err := w.Write(buffer[:4*len(part)]); err != nil {
			return err
		}
	}
	return nil
}

// readFloats reads what writeFloats wrote.
func readFloats(r io.Reader, values []float32, buffer []byte) error {
	for part := range slices.Chunk(values, chunk) {
		if _, err := io.ReadFull(r, buffer[:4*len(part)]); err != nil {
			return err
		}
		for i := range part {
			part[i] = math.Float32frombits(binary.LittleEndian.Uint32(buffer[4*i:]))
		}
	}
	return nil
}
