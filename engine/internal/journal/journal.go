// Package journal is the history of runs: which steps ran, when, why, and how they ended.
//
// It explains and it estimates; nothing depends on it. A run with an empty journal finds every cached result, because
// those are in package store.
package journal

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the database driver called sqlite
)

// A State says where a step stands.
type State string

const (
	Pending     State = "pending"
	Cached      State = "cached"
	Running     State = "running"
	Done        State = "done"
	Failed      State = "failed"
	Skipped     State = "skipped"
	Interrupted State = "interrupted"
)

// A Run is one invocation of engine run.
type Run struct {
	ID       int64     `json:"id"`
	Pipeline string    `json:"pipeline"`       // its name
	Path     string    `json:"path,omitempty"` // absolute, of its file or folder; two pipelines may have one name
	Args     []string  `json:"args"`
	PID      int       `json:"pid"`
	Host     string    `json:"host"`
	Engine   string    `json:"engine"` // version
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Status   string    `json:"status"` // "running" until it ends
	Exit     int       `json:"exit"`
}

// A StepRecord is what became of one step in one run.
type StepRecord struct {
	Run      int64           `json:"run"`
	Address  string          `json:"address"`
	Type     string          `json:"type"`
	Key      string          `json:"key,omitempty"`
	State    State           `json:"state"`
	Reason   string          `json:"reason,omitempty"`
	Started  time.Time       `json:"started,omitzero"`
	Ended    time.Time       `json:"ended,omitzero"`
	Error    string          `json:"error,omitempty"`
	Material json.RawMessage `json:"material,omitempty"`
	FLOPs    float64         `json:"flops,omitempty"`
	Seconds  float64         `json:"seconds,omitempty"`
}

// A Journal is an open history. Several processes may write to one.
type Journal struct {
	SetAside string // where the history before it was moved because it was damaged; empty if it was not

	db   *sql.DB
	path string
}

// current is the version of the tables.
const current = 2

const schema = `
CREATE TABLE IF NOT EXISTS runs (
	id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, args TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL,
	engine TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT 'running',
	exit INTEGER NOT NULL DEFAULT 0, path TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS steps (
	run INTEGER NOT NULL, address TEXT NOT NULL, type TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL,
	reason TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL, error TEXT NOT NULL, material TEXT NOT NULL,
	flops REAL NOT NULL, seconds REAL NOT NULL,
	PRIMARY KEY (run, address)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS steps_by_address ON steps (address, run);
PRAGMA user_version = 2;`

// second adds to the tables of version 1 what they lack. Two engines may come to it at once: the one that is second finds
// the version raised.
const second = "ALTER TABLE runs ADD COLUMN path TEXT NOT NULL DEFAULT ''; PRAGMA user_version = 2;"

// Open opens the journal at path and makes it if need be. One that is damaged is set aside, since nothing depends on it
// and work shall not wait for it: see SetAside.
func Open(path string) (*Journal, error) {
	j, err := open(path)
	if !damaged(err) {
		return j, err
	}
	return replace(path)
}

func open(path string) (*Journal, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // writers take turns anyway
	j := &Journal{db: db, path: path}
	if err := j.prepare(); err != nil {
		return nil, errors.Join(j.explain("opening", err), db.Close())
	}
	return j, nil
}

// prepare makes the tables, or brings them to the version of this engine.
func (j *Journal) prepare() error {
	version, err := versionOf(j.db)
	if err != nil || version == current {
		return err
	}
	if version > current {
		return fmt.Errorf("it was written by a newer engine (version %d of the tables): use that one, or remove the file, which holds only history", version)
	}
	tx, err := j.db.Begin() // takes the lock of writers at once
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if version, err = versionOf(tx); err != nil {
		return err
	}
	switch version {
	case 0:
		_, err = tx.Exec(schema)
	case 1:
		_, err = tx.Exec(second)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// Close flushes and closes the journal.
func (j *Journal) Close() error { return j.db.Close() }

// Begin records the start of a run and returns its number.
func (j *Journal) Begin(r Run) (int64, error) {
	args, err := json.Marshal(r.Args)
	if err != nil {
		return 0, err
	}
	res, err := j.db.Exec("INSERT INTO runs (pipeline, path, args, pid, host, engine, started) VALUES (?, ?, ?, ?, ?, ?, ?)",
		r.Pipeline, r.Path, string(args), r.PID, r.Host, r.Engine, nanos(r.Started))
	if err != nil {
		return 0, j.explain("writing to", err)
	}
	return res.LastInsertId()
}

// End records how a run ended: status "done", "failed", "gate" or "interrupted", and its exit code.
func (j *Journal) End(id int64, status string, exit int) error {
	_, err := j.db.Exec("UPDATE runs SET ended = ?, status = ?, exit = ? WHERE id = ?", nanos(time.Now()), status, exit, id)
	return j.explain("writing to", err)
}

// Record writes what is known of a step, replacing what was recorded of it in the same run.
func (j *Journal) Record(r StepRecord) error {
	_, err := j.db.Exec("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", r.Run, r.Address, r.Type, r.Key,
		string(r.State), r.Reason, nanos(r.Started), nanos(r.Ended), r.Error, string(r.Material), r.FLOPs, r.Seconds)
	return j.explain("writing to", err)
}

const (
	stepColumns = "run, address, type, key, state, reason, started, ended, error, material, flops, seconds"
	prefixed    = "run, address, type, key, state, reason, steps.started, steps.ended, error, material, flops, seconds"
	runColumns  = "id, pipeline, path, args, pid, host, engine, started, ended, status, exit"
)

// Last returns the latest record of a pipeline's step that ended done or cached, or nil. Pipelines that share a state are
// told apart by name and path; the history of one that was moved is found by its name.
func (j *Journal) Last(name, path, address string) (*StepRecord, error) {
	rows, err := j.db.Query("SELECT "+prefixed+" FROM steps JOIN runs ON runs.id = steps.run WHERE address = ? AND state IN ('done', 'cached')"+
		" AND pipeline = ? ORDER BY path = ? DESC, run DESC LIMIT 1", address, name, path)
	found, err := scanSteps(rows, err)
	if err != nil || len(found) == 0 {
		return nil, j.explain("reading", err)
	}
	return &found[0], nil
}

// Steps returns the records of one run, by address.
func (j *Journal) Steps(run int64) ([]StepRecord, error) {
	records, err := scanSteps(j.db.Query("SELECT "+stepColumns+" FROM steps WHERE run = ? ORDER BY address", run))
	return records, j.explain("reading", err)
}

// Runs returns the latest runs, newest first; all if limit is 0.
func (j *Journal) Runs(limit int) ([]Run, error) {
	if limit <= 0 {
		limit = -1
	}
	runs, err := scanRuns(j.db.Query("SELECT "+runColumns+" FROM runs ORDER BY id DESC LIMIT ?", limit))
	return runs, j.explain("reading", err)
}

// RunsOf is Runs of one pipeline: those of its path, or, if none are recorded, those of its name.
func (j *Journal) RunsOf(name, path string, limit int) ([]Run, error) {
	if limit <= 0 {
		limit = -1
	}
	const here = "SELECT 1 FROM runs WHERE pipeline = ?1 AND path = ?2"
	runs, err := scanRuns(j.db.Query("SELECT "+runColumns+" FROM runs WHERE pipeline = ?1 AND (path = ?2 OR NOT EXISTS ("+here+")) ORDER BY id DESC LIMIT ?3",
		name, path, limit))
	return runs, j.explain("reading", err)
}

func scanRuns(rows *sql.Rows, err error) ([]Run, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what went wrong
	var runs []Run
	for rows.Next() {
		var r Run
		var args string
		var started, ended int64
		if err := rows.Scan(&r.ID, &r.Pipeline, &r.Path, &args, &r.PID, &r.Host, &r.Engine, &started, &ended, &r.Status, &r.Exit); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(args), &r.Args); err != nil {
			return nil, err
		}
		r.Started, r.Ended = instant(started), instant(ended)
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// Work is what the attempts have taken that led to the result of a key, or will: seconds, and floating-point operations
// as far as they were counted. Those that led to a result before it do not count. An engine that was killed has not
// recorded its last attempt.
func (j *Journal) Work(key string) (seconds, flops float64, err error) {
	err = j.db.QueryRow("SELECT TOTAL(seconds), TOTAL(flops) FROM steps WHERE key = ?1 AND state IN ('done', 'failed', 'interrupted')"+
		" AND run > COALESCE((SELECT run FROM steps WHERE key = ?1 AND state = 'done' ORDER BY run DESC LIMIT 1 OFFSET 1), 0)", key).
		Scan(&seconds, &flops)
	return seconds, flops, j.explain("reading", err)
}

// measured are the steps that say how fast work is done.
const measured = "type = ?1 AND state = 'done' AND flops > 0 AND seconds > 0"

// Rate is the speed at which a step of a type has worked when it last finished, in floating-point operations per second,
// or false if that has not been measured.
func (j *Journal) Rate(stepType, address string) (float64, bool) {
	var rate float64
	err := j.db.QueryRow("SELECT flops / seconds FROM steps WHERE address = ?2 AND "+measured+" ORDER BY run DESC LIMIT 1", stepType, address).Scan(&rate)
	return rate, err == nil
}

// Took is how long a step of a type took when it last finished, in seconds, or false if it never did.
func (j *Journal) Took(stepType, address string) (float64, bool) {
	var seconds float64
	err := j.db.QueryRow("SELECT seconds FROM steps WHERE address = ? AND type = ? AND state = 'done' AND seconds > 0 ORDER BY run DESC LIMIT 1",
		address, stepType).Scan(&seconds)
	return seconds, err == nil
}

// TypeRate is the mean speed of all steps of a type in the latest run that has finished any, or false if there is none.
func (j *Journal) TypeRate(stepType string) (float64, bool) {
	var rate sql.NullFloat64
	err := j.db.QueryRow("SELECT SUM(flops) / SUM(seconds) FROM steps WHERE "+measured+
		" AND run = (SELECT MAX(run) FROM steps WHERE "+measured+")", stepType).Scan(&rate)
	return rate.Float64, err == nil && rate.Valid
}

func scanSteps(rows *sql.Rows, err error) ([]StepRecord, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what went wrong
	var records []StepRecord
	for rows.Next() {
		var r StepRecord
		var state, material string
		var started, ended int64
		if err := rows.Scan(&r.Run, &r.Address, &r.Type, &r.Key, &state, &r.Reason, &started, &ended, &r.Error, &material, &r.FLOPs, &r.Seconds); err != nil {
			return nil, err
		}
		r.State, r.Started, r.Ended = State(state), instant(started), instant(ended)
		if material != "" {
			r.Material = json.RawMessage(material)
		}
		records = append(records, r)
	}
	return records, rows.Err()
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
