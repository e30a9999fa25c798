package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"athanor/gpu"
)

// A Runtime is a step's door to the outside: its configuration, its folders, its device, and the engine that listens.
// Its methods may be called from several goroutines.
type Runtime struct {
	spec *Spec

	mu      sync.Mutex
	events  io.Writer
	metrics *os.File
	rewound bool // the figures that an earlier attempt recorded after its checkpoint are gone
	values  map[string]any
	outputs map[string]string
	device  gpu.Device
}

// NewRuntime prepares the work folder and returns the Runtime of one attempt. Events go to events, one JSON line each.
func NewRuntime(spec *Spec, events io.Writer) (*Runtime, error) {
	rt := &Runtime{spec: spec, events: events, values: map[string]any{}, outputs: map[string]string{}}
	// What an interrupted attempt left in out/ or tmp/ is half done: only checkpoints count.
	for _, dir := range []string{"out", "tmp"} {
		if err := os.RemoveAll(filepath.Join(spec.WorkDir, dir)); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(spec.WorkDir, "checkpoints"), 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(rt.MetricsFile(), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	rt.metrics = f
	return rt, nil
}

// Close releases the device and the files. The work folder stays.
func (rt *Runtime) Close() error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	err := rt.metrics.Close()
	if rt.device != nil {
		if e := rt.device.Close(); err == nil {
			err = e
		}
		rt.device = nil
	}
	return err
}

// Config decodes the step's configuration into dst, a pointer to its Config struct.
func (rt *Runtime) Config(dst any) error { return rt.spec.Decode(dst) }

// Spec returns all that the step was given. Do not change it.
func (rt *Runtime) Spec() *Spec { return rt.spec }

// Seed is the step's own seed, derived from the pipeline's unless the block sets one.
func (rt *Runtime) Seed() uint64 { return rt.spec.Seed }

// Resolve turns a path of the recipe into an absolute one.
func (rt *Runtime) Resolve(path string) string { return rt.spec.Resolve(path) }

// Resolve turns a path of the recipe into an absolute one.
func (s *Spec) Resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.Dir, path)
}

// Device opens the device that the run asked for; the same one at every call.
func (rt *Runtime) Device() (gpu.Device, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.device == nil {
		d, err := OpenDevice(rt.spec.Device, rt.spec.Threads)
		if err != nil {
			return nil, err
		}
		rt.device = d
	}
	return rt.device, nil
}

// Output makes the folder of the artifact output called name and returns its path. What the step writes there becomes
// the artifact when Run returns without error.
func (rt *Runtime) Output(name string) (string, error) {
	dir := filepath.Join(rt.spec.WorkDir, "out", name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.outputs[name] = dir
	return dir, nil
}

// Temp returns a scratch folder that is emptied before every attempt.
func (rt *Runtime) Temp() (string, error) {
	dir := filepath.Join(rt.spec.WorkDir, "tmp")
	return dir, os.MkdirAll(dir, 0o777)
}

// Set records a value output. v is a number, a string, a bool, or a slice or map of numbers or strings; nil where there is
// no such value, which is null in a recipe. A number that is NaN or infinite is an error when the step ends.
func (rt *Runtime) Set(name string, v any) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.values[name] = v
}

// Progress tells how far the step is. Call it as often as is convenient: the engine throttles what it shows.
func (rt *Runtime) Progress(e Event) {
	e.Kind = EventProgress
	rt.emit(e)
}

// Metric records figures at an optimizer step (or another counter that only grows). They survive interruption: after a
// resume, figures later than the checkpoint are forgotten and recorded anew.
func (rt *Runtime) Metric(step int64, figures map[string]float64) error {
	clean := make(map[string]any, len(figures)+1)
	for k, v := range figures {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			clean[k] = fmt.Sprint(v) // JSON has no NaN, and a reader must see it
			continue
		}
		clean[k] = v
	}
	clean["step"] = step
	line, err := json.Marshal(clean)
	if err != nil {
		return err
	}
	rt.mu.Lock()
	if !rt.rewound { // a step that does not resume starts anew
		err = rt.rewindMetrics(0)
	}
	if err == nil {
		_, err = rt.metrics.Write(append(line, '\n'))
	}
	rt.mu.Unlock()
	if err != nil {
		return fmt.Errorf("recording metrics: %w", err)
	}
	finite := make(map[string]float64, len(figures))
	for k, v := range figures {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			finite[k] = v
		}
	}
	rt.emit(Event{Kind: EventMetric, Step: step, Metrics: finite})
	return nil
}

// Log adds a line to the step's log.
func (rt *Runtime) Log(format string, args ...any) {
	rt.emit(Event{Kind: EventLog, Message: fmt.Sprintf(format, args...)})
}

// Warn adds a line to the step's log and shows it to the user.
func (rt *Runtime) Warn(format string, args ...any) {
	rt.emit(Event{Kind: EventWarn, Message: fmt.Sprintf(format, args...)})
}

// MetricsFile is the path of the recorded figures: one JSON object a line, with "step".
func (rt *Runtime) MetricsFile() string { return filepath.Join(rt.spec.WorkDir, metricsName) }

func (rt *Runtime) emit(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	line, err := json.Marshal(e)
	if err != nil {
		line, _ = json.Marshal(Event{Time: e.Time, Kind: EventWarn, Message: "an event could not be encoded: " + err.Error()})
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	// An engine that no longer listens is no reason to stop: the context ends when it is gone.
	_, _ = rt.events.Write(append(line, '\n'))
}

// Do runs the step and reports how it ended as the last event. It returns Run's error.
func (rt *Runtime) Do(ctx context.Context, t *Type) error {
	err := t.Run(ctx, rt)
	if err == nil {
		err = rt.checkOutputs(t)
	}
	end := Event{Kind: EventDone}
	switch gate, blame := (*GateError)(nil), (*AttributeError)(nil); {
	case err == nil:
		rt.mu.Lock()
		end.Values, end.Outputs = rt.values, rt.outputs
		if rt.device != nil {
			info := rt.device.Info()
			if end.Device = info.Name; info.Threads > 0 {
				end.Device += fmt.Sprintf(", %d threads", info.Threads)
			}
		}
		rt.mu.Unlock()
	case ctx.Err() != nil:
		end = Event{Kind: EventStopped, Message: err.Error()}
	case errors.As(err, &gate):
		end = Event{Kind: EventGate, Message: gate.Message, Path: gate.Path}
	case errors.As(err, &blame):
		end = Event{Kind: EventFailed, Message: blame.Err.Error(), Path: blame.Path}
	default:
		end = Event{Kind: EventFailed, Message: err.Error()}
	}
	rt.emit(end)
	return err
}

// checkOutputs holds a step to what its Type promises.
func (rt *Runtime) checkOutputs(t *Type) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for _, o := range t.Outputs {
		if o.IsKind() {
			if rt.outputs[o.Name] == "" {
				return fmt.Errorf("step type %s ended without its output %q", t.Name, o.Name)
			}
			continue
		}
		v, ok := rt.values[o.Name]
		if !ok {
			return fmt.Errorf("step type %s ended without its value %q", t.Name, o.Name)
		}
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return fmt.Errorf("the value %q came out as %v", o.Name, f)
		}
	}
	return nil
}
