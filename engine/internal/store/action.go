package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// An Output names an artifact by what it holds.
type Output struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
}

// An Action records what a key produced. Its file has two lines: the record, and what the key is the hash of, which may be
// the digests of ten thousand files and is wanted for explanations only.
type Action struct {
	Key     string            `json:"key"`
	Type    string            `json:"type"`
	Version int               `json:"version"`
	Outputs map[string]Output `json:"outputs"`
	Values  json.RawMessage   `json:"values,omitempty"` // JSON object: the value outputs
	Created time.Time         `json:"created"`
	Seconds float64           `json:"seconds"`
	Engine  string            `json:"engine"`
	Host    string            `json:"host,omitempty"`   // where it was made
	Device  string            `json:"device,omitempty"` // what it was computed on; empty if on none
}

// writeAction records an action, whole or not at all.
func (s *Store) writeAction(a *Action, material json.RawMessage) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, material); err != nil {
		return err
	}
	data = append(append(data, '\n'), line.Bytes()...)
	return writeFile(s.actionPath(a.Key), append(data, '\n'))
}

// readAction reads the record of a key; nil if what is there is none.
func (s *Store) readAction(key string) (a *Action, err error) {
	record, _, err := s.readLines(key, false)
	if err != nil || json.Unmarshal(record, &a) != nil || a == nil || a.Key != key {
		return nil, err
	}
	return a, nil
}

// readLines reads the record of a key, and what it was made of if that is wanted.
func (s *Store) readLines(key string, both bool) (record, material []byte, err error) {
	f, err := os.Open(s.actionPath(key))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	record, err = r.ReadBytes('\n')
	if errors.Is(err, io.EOF) { // an engine before there were two lines has written it
		err = nil
	}
	if err == nil && both {
		material, err = io.ReadAll(r)
	}
	return record, bytes.TrimSpace(material), err
}

// Material returns what a key is the hash of, as it was given to Commit, whatever has become of the outputs; nil if the key
// was never made.
func (s *Store) Material(key string) (json.RawMessage, error) {
	record, material, err := s.readLines(key, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if len(material) == 0 { // of an engine before there were two lines
		var old struct {
			Material json.RawMessage `json:"material"`
		}
		if json.Unmarshal(record, &old) == nil {
			material = old.Material
		}
	}
	return material, err
}
