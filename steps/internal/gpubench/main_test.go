package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/gpu/cpu"
)

// TestMeasure runs each job on the CPU: the figures mean nothing there, that they come out does.
func TestMeasure(t *testing.T) {
	dev, err := cpu.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	c := models["tiny"]
	for _, p := range dev.Precisions() {
		if p == "bfloat16" {
			o := options{model: "tiny", context: 32, batch: 2, count: 2}
			for _, job := range []string{"step", "decode"} {
				if r, err := measure(dev, job, o, c, 64); err != nil || r.Rate <= 0 {
					t.Errorf("%s: %+v, %v", job, r, err)
				}
			}
			return
		}
	}
	t.Skip("this processor does not multiply in bfloat16")
}

func TestTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	lines := `{"job":"peak","side":"Athanor","rate":8e14,"device":"H100"}
warning: something of a library
{"job":"step","side":"Athanor","model":"124m","context":1024,"tokens":65536,"rate":600000,"flops":8e8,"bytes":10737418240}
{"job":"step","side":"PyTorch, compiled","model":"124m","context":1024,"tokens":65536,"rate":400000,"flops":8e8,"bytes":21474836480}
{"job":"decode","side":"Athanor","model":"124m","batch":32,"rate":9000}
{"job":"decode","side":"transformers","model":"124m","batch":32,"rate":0,"problem":"no such module"}
`
	if err := os.WriteFile(path, []byte(lines), 0o666); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := table(&out, path); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"H100, measured peak 800 TFLOP/s", "600000     60 %  10.0", "×1.50", "decode 124m, batch 32", "no such module"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
