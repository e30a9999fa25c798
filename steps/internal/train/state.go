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

	"athanor/gpu"
)

// state is everything a run carries from one step to the next, but for what lies on the device: the weights and the two
// moments of each, which stand in a file beside it.
type state struct {
	Step     int64 `json:"step"`     // optimizer steps taken
	Tokens   int64 `json:"tokens"`   // consumed
	Updates  int   `json:"updates"`  // of the weights: steps that had anything to learn
	Observed int64 `json:"observed"` // tokens consumed at the last observation

	LastLoss float64 `json:"last_loss"` // of the last update
	LateLoss float64 `json:"late_loss"` // summed over the units of the run's last tenth
	LateUnit int64   `json:"late_units"`

	Source   []byte   `json:"source"`
	Observer []byte   `json:"observer,omitempty"`
	Tensors  []string `json:"tensors"` // names in the order of the file
}

const (
	stateName   = "state.json"
	tensorsName = "tensors.f32" // per tensor: weights, first moments, second moments; float32, little-endian
)

// save writes a checkpoint's files.
func (l *Loop) save(dir string) error {
	var err error
	s := l.state
	s.Updates, s.Tensors = l.trainer.optimizer.updates, l.trainer.optimizer.names
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
	f, err := os.Create(filepath.Join(dir, tensorsName))
	if err != nil {
		return err
	}
	err = l.trainer.optimizer.write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
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
	f, err := os.Open(filepath.Join(dir, tensorsName))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := o.read(f); err != nil {
		return fmt.Errorf("%s: %w", tensorsName, err)
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
	s.Source, s.Observer, s.Tensors = nil, nil, nil
	l.state = s
	return nil
}

// chunk is how many elements pass through host memory at once.
const chunk = 1 << 18

// write puts the weights and moments into w.
func (o *optimizer) write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 4*chunk)
	values, bytes := make([]float32, chunk), make([]byte, 4*chunk)
	err := o.chunks(func(t gpu.Tensor) error {
		v, b := values[:t.Len()], bytes[:4*t.Len()]
		o.dev.Read(v, t)
		for i, x := range v {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
		}
		_, err := out.Write(b)
		return err
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
	in := bufio.NewReaderSize(r, 4*chunk)
	values, bytes := make([]float32, chunk), make([]byte, 4*chunk)
	err := o.chunks(func(t gpu.Tensor) error {
		v, b := values[:t.Len()], bytes[:4*t.Len()]
		if _, err := io.ReadFull(in, b); err != nil {
			return err
		}
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		o.dev.Write(t, v)
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("the file is longer than the model")
	}
	return o.dev.Sync()
}

// chunks visits all weights and moments, piece by piece.
func (o *optimizer) chunks(visit func(t gpu.Tensor) error) error {
	for i, a := range o.tensors {
		for _, t := range []gpu.Tensor{a.Weight, a.M, a.V} {
			flat := t.Reshape(t.Len(), 1)
			for from := 0; from < flat.Rows; from += chunk {
				if err := visit(flat.Slice(from, min(from+chunk, flat.Rows))); err != nil {
					return fmt.Errorf("%s: %w", o.names[i], err)
				}
			}
		}
	}
	return nil
}
