package steps

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestCourse: what somebody else sees of a step at work, and of one that has failed.
func TestCourse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "work")
	if c, err := ReadCourse(dir); err != nil || c.Curves != nil || c.Unfinished != "" {
		t.Errorf("a step that has not begun: %+v, %v", c, err)
	}
	rt, err := NewRuntime(&Spec{WorkDir: dir}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	want := []Curves{{File: "loss.svg", Title: "Loss", X: "tokens", LogX: true, Lines: []string{"loss"}, Points: []string{"eval_loss"}}}
	if err := rt.Curves(want); err != nil {
		t.Fatal(err)
	}
	c, err := ReadCourse(dir)
	if err != nil || !reflect.DeepEqual(c.Curves, want) || c.Metrics != rt.MetricsFile() || c.Unfinished != "" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, name := range []string{"first.svg", "second.svg"} {
		left, err := rt.Unfinished()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(left, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c, err = ReadCourse(dir)
	if err != nil || c.Unfinished == "" {
		t.Fatalf("%+v, %v", c, err)
	}
	if files, _ := filepath.Glob(filepath.Join(c.Unfinished, "*")); len(files) != 1 || filepath.Base(files[0]) != "second.svg" {
		t.Errorf("the last failure has left %v", files)
	}
	if err := os.WriteFile(filepath.Join(dir, curvesName), []byte("["), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCourse(dir); err == nil {
		t.Error("curves that cannot be read are no error")
	}
}
