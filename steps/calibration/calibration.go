// Package calibration measures how fast a device would do a step's training before the step runs, so that a plan can say
// how long it will take on a machine where nothing has run yet. How it is measured is steps/internal/train's.
package calibration

import (
	"encoding/json"
	"errors"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/train"
)

// ErrNothing says that an estimate is not one of a training whose speed can be measured.
var ErrNothing = errors.New("nothing to measure: no training, or the shape of the model is not known")

// Workload names what the speed of a training depends on: the shape of the model, and how it is trained. It is empty where
// there is nothing to measure.
func Workload(e steps.Estimate) string {
	c, ok := train.Architecture(e.Facts)
	if e.Training == nil || !ok {
		return ""
	}
	training := *e.Training
	training.ReadFLOPs = 0
	name, _ := json.Marshal([]any{train.Facts(c), training}) // numbers and maps of them: it cannot fail
	return string(name)
}

// Speed measures at how many operations per second, counted as Estimate.FLOPs is, the device would train, in about limit.
func Speed(dev gpu.Device, e steps.Estimate, limit time.Duration) (float64, error) {
	c, ok := train.Architecture(e.Facts)
	if e.Training == nil || !ok {
		return 0, ErrNothing
	}
	return train.Speed(dev, c, e.Training, limit)
}
