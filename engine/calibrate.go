package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"athanor/steps"
	"athanor/steps/calibration"
)

const (
	calibrateAll   = time.Second            // for all kinds of training: then what is known has to do for the rest
	calibrateMost  = 350 * time.Millisecond // for one of them
	calibrateLeast = 150 * time.Millisecond // less tells too little
)

// calibrated is what has been measured, as it is kept in the state. Another machine, another build of the engine or
// another code path begins anew.
type calibrated struct {
	Machine string             `json:"machine"`
	Build   string             `json:"build"`
	Speeds  map[string]float64 `json:"operations_per_second"` // by workload
}

// speeds measures how fast a device of this machine would do some trainings, the largest first, unless it is known. What there is no
// time for is taken to run as fast as the training whose model is nearest in size. It is a help: what goes wrong with the
// device or the file leaves times out.
func (a *app) speeds(device string, list []steps.Estimate) []float64 {
	out := make([]float64, len(list))
	dev, err := steps.OpenDevice(device, 0)
	if err != nil {
		return out
	}
	defer func() { _ = dev.Close() }()
	path := filepath.Join(a.stateDir, "calibration.json")
	known := readCalibration(path, dev.Info().Name)
	before := len(known.Speeds)
	order := make([]int, len(list))
	kinds := map[string]bool{} // that are not known yet
	for i, e := range list {
		order[i] = i
		if key := calibration.Workload(e); key != "" && known.Speeds[key] == 0 {
			kinds[key] = true
		}
	}
	each := max(calibrateLeast, min(calibrateMost, calibrateAll/time.Duration(max(1, len(kinds)))))
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(list[j].FLOPs, list[i].FLOPs) })
	began := time.Now()
	for _, i := range order {
		key := calibration.Workload(list[i])
		if kinds[key] && time.Since(began)+each/2 < calibrateAll {
			delete(kinds, key)
			if speed, err := calibration.Speed(dev, list[i], each); err == nil {
				known.Speeds[key] = speed
			}
		}
		out[i] = known.Speeds[key]
	}
	for i := range list {
		if out[i] == 0 {
			out[i] = nearestSpeed(list, out, list[i])
		}
	}
	if len(known.Speeds) > before {
		known.write(path)
	}
	return out
}

// nearestSpeed is the speed of the training whose model is nearest in size to that of e; 0 if none was measured.
func nearestSpeed(list []steps.Estimate, speeds []float64, e steps.Estimate) float64 {
	nearest, least := 0.0, math.Inf(1)
	for i, other := range list {
		if speeds[i] == 0 {
			continue
		}
		if off := math.Abs(math.Log(float64(other.Parameters) / float64(e.Parameters))); off < least {
			nearest, least = speeds[i], off
		}
	}
	return nearest
}

func readCalibration(path, device string) calibrated {
	want := calibrated{Machine: device, Build: thisBuild(), Speeds: map[string]float64{}}
	if host, err := os.Hostname(); err == nil {
		want.Machine += " of " + host
	}
	var have calibrated
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &have) != nil || have.Machine != want.Machine || have.Build != want.Build || have.Speeds == nil {
		return want
	}
	return have
}

// thisBuild tells builds of the engine apart, also those of changed sources that no commit names.
func thisBuild() string {
	name, err := os.Executable()
	if err != nil {
		return build()
	}
	info, err := os.Stat(name)
	if err != nil {
		return build()
	}
	return fmt.Sprintf("%s, %d bytes", build(), info.Size())
}

// write replaces the file by one rename. Nothing is lost with it but a second.
func (c *calibrated) write(path string) {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".calibration-*")
	if err != nil {
		return
	}
	_, err = tmp.Write(append(text, '\n'))
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
}
