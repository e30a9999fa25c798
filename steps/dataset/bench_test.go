package dataset

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// goSources are the files of the Go distribution, up to 20 MB.
func goSources(tb testing.TB) (root string, texts []string) {
	tb.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		tb.Skip("no go command to ask for the Go sources:", err)
	}
	root = filepath.Join(strings.TrimSpace(string(out)), "src")
	size := 0
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || size > 20e6 {
			return err
		}
		data, err := os.ReadFile(path)
		texts, size = append(texts, string(data)), size+len(data)
		return err
	})
	if err != nil {
		tb.Skip("no Go sources:", err)
	}
	return root, texts
}

// What one worker does, stage by stage.
func BenchmarkScreen(b *testing.B) {
	_, texts := goSources(b)
	for _, c := range []struct {
		name string
		set  func(*Config)
	}{
		{"hash", func(*Config) {}},
		{"gopher and fineweb", looseRules},
		{"gopher_repetition", func(c *Config) {
			c.Filter.Repetition = Repetition{MaxDuplicateLines: ptr(1.0), MaxDuplicateParagraphs: ptr(1.0), MaxTopNgrams: map[string]float64{"2": 1, "3": 1, "4": 1},
				MaxRepeatedNgrams: map[string]float64{"5": 1, "6": 1, "7": 1, "8": 1, "9": 1, "10": 1}}
		}},
		{"characters", func(c *Config) { c.Filter.MinChars = ptr(1) }},
		{"near", func(c *Config) { c.Dedup = nearly(0.8) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			config := newConfig()
			c.set(&config)
			sc, err := newScreen(nil, &config)
			if err != nil {
				b.Fatal(err)
			}
			w, src, total := &worker{screen: sc}, &source{shape: corpus.TextShape}, 0
			for i := 0; b.Loop(); i++ {
				text := texts[i%len(texts)]
				w.process(src, &record{doc: corpus.Document{Text: text}})
				total += len(text)
			}
			b.ReportMetric(float64(total)/1e6/b.Elapsed().Seconds(), "MB/s")
		})
	}
}

// The whole step on the Go sources, with as many workers as there are processors.
func BenchmarkStep(b *testing.B) {
	root, texts := goSources(b)
	for _, c := range []struct {
		name string
		set  func(*testing.B, *Config)
	}{
		{"read and write", func(*testing.B, *Config) {}},
		{"rules", func(_ *testing.B, c *Config) { looseRules(c) }},
		{"exact", func(_ *testing.B, c *Config) { c.Dedup = &Dedup{Exact: true} }},
		{"near", func(_ *testing.B, c *Config) { c.Dedup = nearly(0.8) }},
		{"lines", func(_ *testing.B, c *Config) {
			c.Dedup = &Dedup{Exact: true, Lines: ptr(int64(200)), MinLineChars: 30, Memory: 256}
		}},
		{"decontaminate", func(b *testing.B, c *Config) {
			dir := filepath.Join(b.TempDir(), "eval")
			w := corpus.Create(dir)
			if err := os.MkdirAll(dir, 0o777); err != nil {
				b.Fatal(err)
			}
			for i := 0; i < len(texts); i += 100 {
				if err := w.Write(corpus.Train, &corpus.Document{Text: excerpt(texts[i], 2000)}); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(&corpus.Stats{}); err != nil {
				b.Fatal(err)
			}
			c.Decontaminate = &Decontaminate{Against: []steps.Artifact{{Kind: "dataset", Path: dir}}, Ngram: 30}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			config := newConfig()
			config.Files = []FileSource{{Include: []string{filepath.Join(root, "**/*.go")}}}
			c.set(b, &config)
			total := int64(0)
			for b.Loop() {
				encoded, err := json.Marshal(config)
				if err != nil {
					b.Fatal(err)
				}
				spec := &steps.Spec{Type: "dataset", Config: encoded, WorkDir: b.TempDir()}
				if spec.Files, err = Type.Files(spec); err != nil {
					b.Fatal(err)
				}
				rt, err := steps.NewRuntime(spec, io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				if err := rt.Do(b.Context(), &Type); err != nil {
					b.Fatal(err)
				}
				if err := rt.Close(); err != nil {
					b.Fatal(err)
				}
				for _, file := range spec.Files {
					if info, err := os.Stat(file); err == nil {
						total += info.Size()
					}
				}
			}
			b.ReportMetric(float64(total)/1e6/b.Elapsed().Seconds(), "MB/s")
		})
	}
}

// looseRules sets every limit of the rules so that nothing is dropped and all is measured.
func looseRules(c *Config) {
	f := &c.Filter
	f.Rules = []string{"gopher", "fineweb"}
	f.MinWords, f.MaxWords, f.MinStopWords, f.MaxSymbolsPerWord = ptr(1), ptr(1<<40), ptr(0), ptr(1e9)
	f.MinMeanWordChars, f.MaxMeanWordChars, f.MinWordsWithLetter = ptr(0.0), ptr(1e9), ptr(0.0)
	f.MaxBulletLines, f.MaxEllipsisLines, f.MinPunctuatedLines, f.MaxShortLines, f.MaxRepeatedLines, f.MaxNewlinesPerWord = ptr(1.0), ptr(1.0), ptr(0.0), ptr(1.0), ptr(1.0), ptr(1e9)
}

func nearly(threshold float64) *Dedup {
	return &Dedup{Exact: true, Near: &threshold, Ngram: 5, Buckets: 14, Hashes: 8, Memory: 256}
}
