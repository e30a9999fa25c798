package journal

import (
	"database/sql"
	"encoding/json"
	"fmt"
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
	last, err := j.Last("q.hcl", "/q.hcl", "pretrain.base")
	if err != nil || last == nil || !reflect.DeepEqual(*last, record) {
		t.Errorf("Last = %+v, %v\nwant %+v", last, err, record)
	}
	for _, of := range [][2]string{{"q.hcl", "sft.chat"}, {"other.hcl", "pretrain.base"}} {
		if none, err := j.Last(of[0], "", of[1]); none != nil || err != nil {
			t.Errorf("Last(%q) of what never ran = %+v, %v", of, none, err)
		}
	}
	if steps, err := j.Steps(second); err != nil || len(steps) != 1 || !reflect.DeepEqual(steps[0], failed) {
		t.Errorf("Steps = %+v, %v", steps, err)
	}
	if rate, ok := j.Rate("pretrain", "pretrain.base"); !ok || rate != 2.5e11 {
		t.Errorf("Rate = %v, %v", rate, ok)
	}
	for _, of := range [][2]string{{"pretrain", "pretrain.other"}, {"anneal", "pretrain.base"}} {
		if _, ok := j.Rate(of[0], of[1]); ok {
			t.Errorf("a rate for %v, which never ran", of)
		}
	}
	if rate, ok := j.TypeRate("pretrain"); !ok || rate != 2.5e11 {
		t.Errorf("TypeRate = %v, %v", rate, ok)
	}
	if _, ok := j.TypeRate("dataset"); ok {
		t.Error("a rate for a type that never ran")
	}
	for i, seconds := range []float64{1, 3} { // a later run of two others
		if err := j.Record(StepRecord{Run: second, Address: fmt.Sprintf("pretrain.part%d", i), Type: "pretrain", State: Done, FLOPs: 1e12, Seconds: seconds}); err != nil {
			t.Fatal(err)
		}
	}
	if seconds, ok := j.Took("pretrain", "pretrain.base"); !ok || seconds != 4 {
		t.Errorf("Took = %v, %v", seconds, ok)
	}
	if _, ok := j.Took("dataset", "pretrain.base"); ok {
		t.Error("a time of a step of another type")
	}
	own, _ := j.Rate("pretrain", "pretrain.base")
	if mean, _ := j.TypeRate("pretrain"); own != 2.5e11 || mean != 5e11 {
		t.Errorf("the step's own rate is %v, that of its type %v", own, mean)
	}
	runs, err := j.Runs(0)
	if err != nil || len(runs) != 2 || runs[0].ID != second || runs[0].Status != "failed" || runs[0].Exit != 1 ||
		runs[1].Status != "running" || runs[1].Args[0] != "run" || !runs[1].Started.Equal(start) {
		t.Errorf("Runs = %+v, %v", runs, err)
	}
}

// TestDamagedJournalIsSetAside: nothing depends on the history, so that damage to it stops no work, and it is not thrown away.
func TestDamagedJournalIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.db")
	junk := strings.Repeat("not a database ", 1000)
	for _, want := range []string{path + ".damaged", path + ".damaged-2"} {
		if err := os.WriteFile(path, []byte(junk), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+"-wal", []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		j, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if j.SetAside != want {
			t.Errorf("it is set aside as %q, not %q", j.SetAside, want)
		}
		if runs, err := j.Runs(0); err != nil || len(runs) != 0 {
			t.Errorf("Runs = %v, %v", runs, err)
		}
		if _, err := j.Begin(Run{Pipeline: "p"}); err != nil {
			t.Error(err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(want); err != nil || string(got) != junk {
			t.Errorf("%s holds %q, %v", want, got, err)
		}
	}
	j, err := Open(path)
	if err != nil || j.SetAside != "" {
		t.Fatalf("%+v, %v", j, err)
	}
	j.Close()
}

// TestDamageWithinSaysWhatToDo: a page of the file that is bad comes to light late, and is no reason to lose the others.
func TestDamageWithinSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.db")
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if _, err := j.Begin(Run{Pipeline: strings.Repeat("p", 500)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 8192; i < len(data); i++ {
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := j.Runs(0); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "may be removed") {
		t.Errorf("Runs: %v", err)
	}
}

// The tables as the engines before version 2 made them.
const first = `
CREATE TABLE runs (
	id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, args TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL,
	engine TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT 'running',
	exit INTEGER NOT NULL DEFAULT 0);
CREATE TABLE steps (
	run INTEGER NOT NULL, address TEXT NOT NULL, type TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL,
	reason TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL, error TEXT NOT NULL, material TEXT NOT NULL,
	flops REAL NOT NULL, seconds REAL NOT NULL,
	PRIMARY KEY (run, address)) WITHOUT ROWID;
INSERT INTO runs (pipeline, args, pid, host, engine, started) VALUES ('p', '["run"]', 1, 'h', 'v', 5);
INSERT INTO steps VALUES (1, 'a.b', 'a', 'old', 'done', '', 0, 0, '', '', 0, 0);
PRAGMA user_version = 1;`

// TestPipelinesOfOneName: what two pipelines of one name have done is kept apart by where they are written. The history
// that has no path, and that of a pipeline that was moved, is found by the name.
func TestPipelinesOfOneName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(first); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	lastKey := func(at string) string {
		r, err := j.Last("p", at, "a.b")
		if err != nil || r == nil {
			t.Fatalf("Last(%s) = %v, %v", at, r, err)
		}
		return r.Key
	}
	if lastKey("/one") != "old" {
		t.Error("the history of an older engine is lost")
	}
	for _, at := range []string{"/one", "/two"} {
		id, err := j.Begin(Run{Pipeline: "p", Path: at})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Record(StepRecord{Run: id, Address: "a.b", Key: at, State: Done, Seconds: 2, FLOPs: 8}); err != nil {
			t.Fatal(err)
		}
	}
	if lastKey("/one") != "/one" || lastKey("/two") != "/two" || lastKey("/moved") != "/two" {
		t.Errorf("%s, %s, %s", lastKey("/one"), lastKey("/two"), lastKey("/moved"))
	}
	for at, want := range map[string]int{"/one": 1, "/moved": 3} {
		if runs, err := j.RunsOf("p", at, 0); err != nil || len(runs) != want {
			t.Errorf("%s has %d runs, not %d; %v", at, len(runs), want, err)
		}
	}
	again, err := j.Begin(Run{Pipeline: "p", Path: "/one"})
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []State{Failed, Done} {
		if err := j.Record(StepRecord{Run: again, Address: string(state), Key: "/one", State: state, Seconds: 3, FLOPs: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if seconds, flops, err := j.Work("/one"); err != nil || seconds != 6 || flops != 2 {
		t.Errorf("the work on a result that was made twice: %g s, %g, %v", seconds, flops, err)
	}
}
