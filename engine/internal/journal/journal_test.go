package journal

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRunsAndSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?#%.db") // characters that mean something in a URL
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1700000000, 5)
	first, err := j.Begin(Run{Pipeline: "q.hcl", Args: []string{"run", "q.hcl"}, PID: 7, Host: "h", Engine: "v", Started: start})
	if err != nil {
		t.Fatal(err)
	}
	second, _ := j.Begin(Run{Pipeline: "q.hcl", Started: start.Add(time.Hour)})
	record := StepRecord{Run: first, Address: "pretrain.base", Type: "pretrain", Key: "k1", State: Running, Reason: "never ran",
		Started: start, Material: json.RawMessage(`{"seed":1}`)}
	for _, change := range []func(){
		func() {},
		func() {
			record.State, record.Ended, record.FLOPs, record.Seconds = Done, start.Add(time.Minute), 1e12, 4
		},
	} {
		change()
		if err := j.Record(record); err != nil {
			t.Fatal(err)
		}
	}
	failed := StepRecord{Run: second, Address: "pretrain.base", Type: "pretrain", Key: "k2", State: Failed, Error: "NaN"}
	if err := j.Record(failed); err != nil {
		t.Fatal(err)
	}
	if err := j.End(second, "failed", 1); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	if j, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	last, err := j.Last("q.hcl", "pretrain.base")
	if err != nil || last == nil || !reflect.DeepEqual(*last, record) {
		t.Errorf("Last = %+v, %v\nwant %+v", last, err, record)
	}
	for _, of := range [][2]string{{"q.hcl", "sft.chat"}, {"other.hcl", "pretrain.base"}} {
		if none, err := j.Last(of[0], of[1]); none != nil || err != nil {
			t.Errorf("Last(%q) of what never ran = %+v, %v", of, none, err)
		}
	}
	if steps, err := j.Steps(second); err != nil || len(steps) != 1 || !reflect.DeepEqual(steps[0], failed) {
		t.Errorf("Steps = %+v, %v", steps, err)
	}
	if rate, ok := j.Rate("pretrain"); !ok || rate != 2.5e11 {
		t.Errorf("Rate = %v, %v", rate, ok)
	}
	if _, ok := j.Rate("dataset"); ok {
		t.Error("a rate for a type that never ran")
	}
	runs, err := j.Runs(0)
	if err != nil || len(runs) != 2 || runs[0].ID != second || runs[0].Status != "failed" || runs[0].Exit != 1 ||
		runs[1].Status != "running" || runs[1].Args[0] != "run" || !runs[1].Started.Equal(start) {
		t.Errorf("Runs = %+v, %v", runs, err)
	}
}

func TestDamagedJournalSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "may be removed") {
		t.Errorf("Open = %v", err)
	}
}
