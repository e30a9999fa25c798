package report

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps"
)

func folder(t *testing.T, files map[string]string) steps.Artifact {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return steps.Artifact{Kind: "report", Path: dir}
}

// attempt runs the step and returns the files that it has made.
func attempt(t *testing.T, c Config) (map[string]string, error) {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &steps.Spec{Config: config, WorkDir: t.TempDir(), Dir: "testdata"}
	if err := check(s); err != nil {
		return nil, err
	}
	rt, err := steps.NewRuntime(s, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if err := rt.Do(context.Background(), &Type); err != nil {
		return nil, err
	}
	files := map[string]string{}
	root := os.DirFS(filepath.Join(s.WorkDir, "out", "report"))
	err = fs.WalkDir(root, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, nil
}

func block(t *testing.T) Config {
	training := folder(t, map[string]string{
		"summary.md": "# Pre-training\n\n![loss](loss.svg)\n", "loss.svg": `<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>`,
	})
	measured := folder(t, map[string]string{
		"summary.md":   "# Evaluation\n\nDone.\n",
		"results.json": `[{"model":"model","parameters":7,"measures":[{"task":"code","metric":"acc","value":0.5,"low":0.25,"high":0.75}]},{"model":"base","parameters":7,"measures":[]}]`,
	})
	return Config{
		Title: "A page", Text: "What *came* of it.",
		Sections: []Section{{Title: "From nothing", Report: training, Text: "Slowly."}, {Title: "SFT", Report: measured}},
		Reports:  []steps.Artifact{training, folder(t, nil)},
	}
}

func TestPage(t *testing.T) {
	c := block(t)
	files, err := attempt(t, c)
	if err != nil {
		t.Fatal(err)
	}
	text := files["report.md"]
	at := 0
	for _, want := range []string{ // in this order
		"# A page\n", "What *came* of it.", "## Models side by side", "|  | SFT | base |", "0.5000", "## From nothing\n\nSlowly.\n",
		"](figures/from-nothing-loss.svg)", "## SFT\n\nDone.\n", "## Pre-training\n", "](figures/pre-training-loss.svg)", "## Report 4\n",
	} {
		next := strings.Index(text[at:], want)
		if next < 0 {
			t.Fatalf("%q does not come here in\n%s", want, text)
		}
		at += next
	}
	if len(files) != 4 || files["figures/from-nothing-loss.svg"] == "" || !strings.Contains(files["report.html"], "<title>A page</title>") {
		t.Errorf("%d files", len(files))
	}
	again, err := attempt(t, c)
	if err != nil || len(again) != len(files) {
		t.Fatalf("%d files, %v", len(again), err)
	}
	for name := range files {
		if again[name] != files[name] {
			t.Errorf("the second time %s has other bytes", name)
		}
	}
}

func TestWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, path, says string
		change           func(*Config)
	}{
		{"nothing", "", "add a block section", func(c *Config) { c.Sections, c.Reports = nil, nil }},
		{"damaged results", "section[0].report", "results.json", func(c *Config) {
			c.Sections[0].Report = folder(t, map[string]string{"results.json": "{"})
		}},
		{"no such file", "recipe[0]", "no such file", func(c *Config) { c.Recipe = []string{"absent.hcl"} }},
	} {
		config := block(t)
		c.change(&config)
		_, err := attempt(t, config)
		var blamed *steps.AttributeError
		if !errors.As(err, &blamed) || blamed.Path != c.path || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	config := block(t)
	config.Recipe = []string{filepath.Join(t.TempDir(), "a.hcl")}
	if err := os.WriteFile(config.Recipe[0], []byte("a = \"\xff\""), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := attempt(t, config); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("a recipe that is no text: %v", err)
	}
}
