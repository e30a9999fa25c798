package steps

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Curves say how to draw what a step records with [Runtime.Metric], before it has recorded any: so whoever shows a step
// that runs, or one that has failed, draws the curves that its report will have, and knows nothing of the step.
type Curves struct {
	File   string   `json:"file"` // of the drawing in the report: "loss.svg"
	Title  string   `json:"title"`
	X      string   `json:"x"`       // the figure along the axis: "tokens"
	XLabel string   `json:"x_label"` // with its unit
	YLabel string   `json:"y_label"`
	LogX   bool     `json:"log_x,omitempty"`
	LogY   bool     `json:"log_y,omitempty"`
	Exact  bool     `json:"exact,omitempty"`  // the lines are set and not measured: they are not smoothed
	Lines  []string `json:"lines,omitempty"`  // figures of every step, drawn as lines
	Points []string `json:"points,omitempty"` // figures that come now and then, drawn as marks
}

// Files of the work folder.
const (
	metricsName    = "metrics.jsonl"
	curvesName     = "curves.json"
	unfinishedName = "unfinished"
)

// Curves declares how to draw the step's figures. Call it before the work begins.
func (rt *Runtime) Curves(all []Curves) error {
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(rt.spec.WorkDir, curvesName)
	if err := os.WriteFile(path+".tmp", data, 0o666); err != nil { // a reader finds all of it or nothing
		return fmt.Errorf("declaring curves: %w", err)
	}
	return os.Rename(path+".tmp", path)
}

// Unfinished makes the folder of the report that a step leaves when it fails, or when its gate does not hold: in the
// form of its report, as far as there is one. It stays in the work folder until the step fails again, or is done.
func (rt *Runtime) Unfinished() (string, error) {
	dir := filepath.Join(rt.spec.WorkDir, unfinishedName)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o777)
}

// A Course is what the work folder of a step shows of its work so far.
type Course struct {
	Metrics    string   // the file of figures: one JSON object a line; it may not exist
	Curves     []Curves // none of a step that declares none
	Unfinished string   // folder of the report that the last failed attempt has left; empty if none has
}

// ReadCourse reads a work folder, which a step may be working in. A folder that is not there has an empty course.
func ReadCourse(workDir string) (*Course, error) {
	c := &Course{Metrics: filepath.Join(workDir, metricsName)}
	if _, err := os.Stat(filepath.Join(workDir, unfinishedName)); err == nil {
		c.Unfinished = filepath.Join(workDir, unfinishedName)
	}
	data, err := fs.ReadFile(os.DirFS(workDir), curvesName)
	if err != nil {
		return c, nil // no curves
	}
	if err := json.Unmarshal(data, &c.Curves); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(workDir, curvesName), err)
	}
	return c, nil
}
