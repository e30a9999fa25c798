package dataset

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// A source is one block of the recipe with the files that it stands for.
type source struct {
	at     string // "jsonl[0]", for blame
	kind   kind
	files  []string // absolute; for a program what its key depends on
	config any      // the block

	columns Columns
	shape   corpus.Shape // of its documents; empty if each decides

	stderr tail // of a program

	folder *string // see common
}

// common is the deepest folder that all files of the source are in.
func (src *source) common() string {
	if src.folder == nil {
		var folder string
		for i, file := range src.files {
			if i == 0 {
				folder = filepath.Dir(file)
			}
			for folder != filepath.Dir(folder) && !strings.HasPrefix(file, folder+string(filepath.Separator)) {
				folder = filepath.Dir(folder)
			}
		}
		src.folder = &folder
	}
	return *src.folder
}

type kind int

const (
	textFiles kind = iota
	jsonFiles
	parquetFiles
	programOutput
)

// sources lists the sources in the order in which they are read, without their files.
func (c *Config) sources() ([]*source, error) {
	var all []*source
	for i := range c.Files {
		all = append(all, &source{at: fmt.Sprintf("files[%d]", i), kind: textFiles, config: &c.Files[i], shape: corpus.TextShape})
	}
	for i := range c.JSONL {
		b := &c.JSONL[i]
		all = append(all, &source{at: fmt.Sprintf("jsonl[%d]", i), kind: jsonFiles, config: b, columns: b.Columns})
	}
	for i := range c.Parquet {
		b := &c.Parquet[i]
		all = append(all, &source{at: fmt.Sprintf("parquet[%d]", i), kind: parquetFiles, config: b, columns: b.Columns})
	}
	for i := range c.Program {
		b := &c.Program[i]
		all = append(all, &source{at: fmt.Sprintf("program[%d]", i), kind: programOutput, config: b, columns: b.Columns})
	}
	for _, src := range all {
		if src.kind == textFiles {
			continue
		}
		var err error
		if src.shape, err = src.columns.shape(); err != nil {
			return nil, steps.Blame(src.at+".columns", "%w", err)
		}
	}
	return all, nil
}

// find fills in the files of a source.
func (src *source) find(s *steps.Spec) (err error) {
	switch b := src.config.(type) {
	case *FileSource:
		src.files, err = expand(s, src.at+".include", b.Include, b.Exclude)
	case *RecordSource:
		src.files, err = expand(s, src.at+".include", b.Include, b.Exclude)
	case *ProgramSource:
		if len(b.Inputs) > 0 {
			src.files, err = expand(s, src.at+".inputs", b.Inputs, nil)
		}
		if err == nil {
			var own []string
			own, err = commandFiles(s, b.Command)
			src.files = withOthers(src.files, own)
		}
	}
	return err
}

// withOthers adds to a sorted list those of other files that are not there yet, each once.
func withOthers(sorted, others []string) []string {
	all := slices.Clip(sorted)
	for _, file := range others {
		if _, found := slices.BinarySearch(sorted, file); !found && !slices.Contains(all[len(sorted):], file) {
			all = append(all, file)
		}
	}
	return all
}

// commandFiles lists the arguments that are files of their own, such as the script in ["python3", "extract.py"], and the
// files in those that are folders below the pipeline's, such as the package in ["go", "run", "./extract"]. The program
// itself is one only if it is given by a relative path: others belong to the machine.
func commandFiles(s *steps.Spec, command []string) ([]string, error) {
	var files []string
	for i, arg := range command {
		if i == 0 && (filepath.IsAbs(arg) || !strings.ContainsAny(arg, `/\`)) {
			continue
		}
		info, err := os.Stat(s.Resolve(arg))
		switch {
		case err != nil:
		case info.Mode().IsRegular():
			files = append(files, s.Resolve(arg))
		case info.IsDir() && filepath.IsLocal(arg) && filepath.Clean(arg) != ".":
			below, err := glob(s.Look, absolute(s, escape.Replace(filepath.ToSlash(arg)))+"/**", interpreted)
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
		}
	}
	return files, nil
}

// interpreted is what interpreters leave beside a program that they have read.
var interpreted = exclusion{exclude("**/__pycache__/**")}

// files lists what the step reads, with steps.GroupEnd after each source.
func files(s *steps.Spec) ([]string, error) {
	var c Config
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	all, err := c.sources()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, src := range all {
		if err := src.find(s); err != nil {
			return nil, err
		}
		list = append(append(list, src.files...), steps.GroupEnd)
	}
	return list, nil
}

// planned returns the sources with the very files that the plan found, so that the step reads what its key says.
func (c *Config) planned(list []string) ([]*source, error) {
	all, err := c.sources()
	if err != nil {
		return nil, err
	}
	next := 0
	for _, file := range list {
		if next == len(all) {
			break
		}
		if file == steps.GroupEnd {
			next++
			continue
		}
		all[next].files = append(all[next].files, file)
	}
	if next != len(all) {
		return nil, fmt.Errorf("the plan lists files for %d sources, the dataset has %d", next, len(all))
	}
	return all, nil
}

// estimate foretells the size from the files' alone. What a program prints is not foretold: the files that it reads are no
// measure of it.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	list := in.Spec.Files
	if len(list) == 0 {
		var err error
		if list, err = files(in.Spec); err != nil {
			return steps.Estimate{}, err
		}
	}
	total, text := int64(0), 0.0
	for _, file := range list {
		info, err := in.Spec.Look.Stat(file)
		if err != nil || !info.Regular {
			continue // the run will say so
		}
		total += info.Size
		text += float64(info.Size) * usualRatio(file)
	}
	e := steps.Estimate{Bytes: total}
	var c struct {
		Program []json.RawMessage `json:"program"`
	}
	if err := in.Spec.Decode(&c); err != nil {
		return e, err
	}
	if len(c.Program) == 0 {
		e.Facts = map[string]float64{"bytes": text}
	}
	return e, nil
}

// usualRatio is how much text a byte of a file usually holds.
func usualRatio(file string) float64 {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".gz", ".zst":
		return 3
	case ".parquet":
		return 2
	}
	return 1
}
