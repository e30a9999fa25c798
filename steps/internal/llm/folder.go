package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"athanor/gpu"
	"athanor/steps/internal/safetensors"
)

const (
	weightsName = "model.safetensors"
	indexName   = "model.safetensors.index.json"
)

// Files lists the files of a Hugging Face folder that hold its configuration and its weights.
func Files(dir string) ([]string, error) {
	shards, err := shards(dir)
	if err != nil {
		return nil, err
	}
	files := []string{filepath.Join(dir, configName)}
	if len(shards) > 1 || shards[0] != weightsName {
		files = append(files, filepath.Join(dir, indexName))
	}
	for _, s := range shards {
		files = append(files, filepath.Join(dir, s))
	}
	return files, nil
}

// shards lists the files of weights, by their names in dir.
func shards(dir string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(dir, weightsName)); err == nil {
		return []string{weightsName}, nil
	}
	path := filepath.Join(dir, indexName)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s has no weights: neither %s nor %s is there", dir, weightsName, indexName)
	}
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var names []string
	for _, file := range index.WeightMap {
		if filepath.Base(file) != file {
			return nil, fmt.Errorf("%s: %q is no file of this folder", path, file)
		}
		if !slices.Contains(names, file) {
			names = append(names, file)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: an empty weight_map", path)
	}
	sort.Strings(names)
	return names, nil
}

// A folder is an open Hugging Face folder whose tensors have been found to be those of its configuration.
type folder struct {
	config Config
	files  []*safetensors.File
	where  map[string]*safetensors.File // by tensor
}

func openFolder(dir string) (*folder, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	names, err := shards(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{config: c, where: map[string]*safetensors.File{}}
	for _, name := range names {
		file, err := safetensors.Open(filepath.Join(dir, name))
		if err != nil {
			f.close()
			return nil, err
		}
		f.files = append(f.files, file)
		for _, tensor := range file.Names() {
			f.where[tensor] = file
		}
	}
	if err := f.check(); err != nil {
		f.close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return f, nil
}

func (f *folder) close() {
	for _, file := range f.files {
		_ = file.Close() // only read from
	}
}

// check compares what is there with what the configuration calls for, and reports every difference at once.
func (f *folder) check() error {
	var missing, extra, wrong []string
	wanted := map[string]bool{}
	for _, t := range f.config.tensors() {
		wanted[t.name] = true
		file, ok := f.where[t.name]
		if !ok {
			missing = append(missing, t.name)
			continue
		}
		if info, _ := file.Info(t.name); !slices.Equal(info.Shape, t.shape) {
			wrong = append(wrong, fmt.Sprintf("%s is %v where config.json makes it %v", t.name, info.Shape, t.shape))
		}
	}
	for name := range f.where {
		if !wanted[name] && !f.redundant(name) {
			extra = append(extra, name)
		}
	}
	sort.Strings(extra)
	var problems []string
	if len(missing) > 0 {
		problems = append(problems, "missing tensors: "+some(missing))
	}
	if len(extra) > 0 {
		problems = append(problems, "tensors that a Llama does not have: "+some(extra))
	}
	problems = append(problems, wrong[:min(len(wrong), 4)]...)
	if len(problems) > 0 {
		return errors.New("the weights do not fit config.json: " + strings.Join(problems, "; "))
	}
	return nil
}

// redundant reports tensors that older releases of transformers wrote although they follow from others.
func (f *folder) redundant(name string) bool {
	return strings.HasSuffix(name, ".rotary_emb.inv_freq") || name == "lm_head.weight" && f.config.TieWordEmbeddings
}

// some joins the first few names.
func some(names []string) string {
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:4], ", "), len(names)-4)
	}
	return strings.Join(names, ", ")
}

// read returns the elements of a tensor.
func (f *folder) read(name string) fill {
	from := 0
	return func(dst []float32) error {
		err := f.where[name].Read(dst, name, from)
		from += len(dst)
		return err
	}
}

// Load reads the Hugging Face folder of a language model onto a device. The weights become float32.
func Load(dev gpu.Device, dir string) (*Model, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if f.config.Score {
		return nil, fmt.Errorf("%s: %w", dir, ErrScore)
	}
	return f.load(dev, f.config, 0)
}

// load reads the weights of a model of the configuration c; those that the folder lacks are initial ones.
func (f *folder) load(dev gpu.Device, c Config, seed uint64) (*Model, error) {
	m, err := New(dev, c)
	if err != nil {
		return nil, err
	}
	var buf []float32
	for i, t := range c.tensors() {
		values := c.initial(t, seed)
		if f.where[t.name] != nil {
			values = f.read(t.name)
		}
		if err := m.write(m.params[i], values, &buf); err != nil {
			m.Close()
			return nil, err
		}
	}
	if err := dev.Sync(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Save writes the model, without adapters, as a Hugging Face folder: config.json, generation_config.json and
// model.safetensors in float32. The folder must exist; the files are flushed to the disk. Tokenizer files are the caller's to add.
func (m *Model) Save(dir string) error {
	if err := m.Config.save(dir, func(t tensor) fill { return m.read(t.name) }); err != nil {
		return err
	}
	return m.dev.Sync()
}

// read returns the elements of a weight on the device.
func (m *Model) read(name string) fill {
	i := slices.IndexFunc(m.params, func(p *Param) bool { return p.Name == name })
	return m.readParam(m.params[i])
}

// readParam returns the elements of a weight on the device.
func (m *Model) readParam(p *Param) fill {
	from := 0
	return func(dst []float32) error {
		p.Read(m.dev, dst, from)
		from += len(dst)
		return nil
	}
}

// WriteInitial writes the folder that New, Init and Save would write, without a device and without holding the model in
// memory.
func WriteInitial(ctx context.Context, dir string, c Config, seed uint64) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return c.save(dir, func(t tensor) fill { return c.initial(t, seed).until(ctx) })
}

// Convert writes the model of the folder src to dst as Load and Save would, without a device and without holding it in
// memory.
func Convert(ctx context.Context, dst, src string) (Config, error) {
	f, err := openFolder(src)
	if err != nil {
		return Config{}, err
	}
	defer f.close()
	return f.config, f.config.save(dst, func(t tensor) fill { return f.read(t.name).until(ctx) })
}

// save writes a folder; values returns the elements of each tensor.
func (c Config) save(dir string, values func(t tensor) fill) error {
	if err := c.Write(dir); err != nil {
		return err
	}
	var list []safetensors.Tensor
	for _, t := range c.tensors() {
		list = append(list, safetensors.Tensor{Name: t.name, Shape: t.shape, Read: values(t)})
	}
	if err := safetensors.Write(filepath.Join(dir, weightsName), list); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder brings the names in a folder to the disk.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
