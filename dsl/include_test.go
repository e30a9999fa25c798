package dsl_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/dsl"
)

// What is included belongs to the pipeline; its paths start at the pipeline's folder.
func TestInclude(t *testing.T) {
	write(t, map[string]string{
		"small.hcl":          "pipeline \"small\" {\n  include = [\"shared/model.hcl\"]\n}\nlocals {\n  dim = 64\n}\n",
		"shared/model.hcl":   "model \"base\" {\n  n_layer = length(fileset(\".\", \"*.hcl\"))\n  dim = local.dim\n}\n",
		"shared/other.hcl":   "= = =",
		"shared/broken.hcl":  "model \"base\" {",
		"folder/main.hcl":    "pipeline \"f\" {\n  include = [\"../shared/model.hcl\"]\n}\n",
		"folder/locals.hcl":  "locals {\n  dim = 32\n}\n",
		"badly.hcl":          "pipeline \"b\" {\n  include = [\"shared/broken.hcl\"]\n}\n",
		"everywhere/it.hcl":  "pipeline \"e\" {\n  include = \"x.hcl\"\n}\n",
		"unfinished/no.hcl":  "pipeline \"u\" {\n  include = [\n",
		"unfinished/yes.hcl": "",
	})
	program, printed := load(t, "small.hcl", dsl.Options{})
	if program == nil {
		t.Fatal(printed)
	}
	instance, diags := program.Steps[0].Eval(nil)
	if n, _ := instance.Config.GetAttr("n_layer").AsBigFloat().Int64(); diags.HasErrors() || n != 2 {
		t.Errorf("%d files in the pipeline's folder, not 2: %v", n, diags)
	}
	if want := []string{"small.hcl", filepath.Join("shared", "model.hcl")}; !slices.Equal(program.Files, want) {
		t.Errorf("files %v, not %v", program.Files, want)
	}
	if program, printed := load(t, "folder", dsl.Options{}); program == nil {
		t.Error(printed)
	}
	for path, want := range map[string]string{
		"badly.hcl": "on shared/broken.hcl line 1", "everywhere": "include lists the files", "unfinished": "no.hcl",
	} {
		if program, printed := load(t, path, dsl.Options{}); program != nil || !strings.Contains(printed, want) {
			t.Errorf("%s: want %q in\n%s", path, want, printed)
		}
	}
}

// A variable without a value is an error, but for those who only want to look: then what needs it is unknown, and says
// of which.
func TestPartial(t *testing.T) {
	write(t, map[string]string{"p.hcl": `
pipeline "p" {
  known {
    to = var.layers
  }
  unknown {
    to = var.dim
  }
}
variable "dim" {
  type = number
  validation {
    condition     = var.dim > 1
    error_message = "dim is more than 1."
  }
}
variable "shape" {
  type = object({ n_layer = number })
}
variable "layers" {
  default = 3
}
locals {
  twice = var.dim * 2
}
model "direct" {
  n_layer = var.shape.n_layer
  dim     = var.dim
}
model "indirect" {
  n_layer = var.layers
  dim     = length([for i in range(0, local.twice) : i])
}
model "known" {
  n_layer = var.layers
  dim     = 8
}
model "maybe" {
  when    = var.dim > 3
  n_layer = 1
  dim     = 8
}
`})
	type block struct {
		To int `json:"to"`
	}
	var settings struct {
		Known   *block `json:"known" hcl:"block"`
		Unknown *block `json:"unknown" hcl:"block"`
	}
	if program, printed := load(t, "p.hcl", dsl.Options{Pipeline: settings}); program != nil || strings.Count(printed, "A variable has no value") != 2 {
		t.Errorf("want two errors in\n%s", printed)
	}
	program, printed := load(t, "p.hcl", dsl.Options{Partial: true, Pipeline: settings})
	if program == nil {
		t.Fatal(printed)
	}
	if string(program.Pipeline) != `{"known":{"to":3}}` {
		t.Errorf("the pipeline block holds %s", program.Pipeline)
	}
	if want := []string{"dim", "shape"}; !slices.Equal(program.Unset, want) {
		t.Errorf("unset %v, not %v", program.Unset, want)
	}
	for i, want := range [][]string{{"dim", "shape"}, {"dim"}, nil, {"dim"}} {
		instance, diags := program.Steps[i].Eval(nil)
		if diags.HasErrors() || !slices.Equal(instance.Unset, want) || len(instance.Waits) > 0 {
			t.Errorf("%s needs %v and waits for %v, not %v: %v", program.Steps[i].Address, instance.Unset, instance.Waits, want, diags)
		}
	}
	if program, printed := load(t, "p.hcl", dsl.Options{Partial: true, Pipeline: settings, Vars: map[string]string{"dim": "1"}}); program != nil || !strings.Contains(printed, "dim is more than 1.") {
		t.Errorf("a value that is given is not validated:\n%s", printed)
	}
}
