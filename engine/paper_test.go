package main

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"testing"

	"athanor/engine/internal/plan"
	"athanor/steps/catalog"
)

// What Meta has published: parameters and FLOPs of arXiv 2407.21783 (table 3, section 3.2.1), hours of an H100 of the
// model cards of Llama 3 (pre-training with 8K context) and Llama 3.1 (all of it).
var published = []struct {
	name       string
	parameters int64
	tokens     int64
	flops      float64 // 6·N·tokens of pre-training; 0: not published
	pretrain   float64 // GPU-hours; 0: not published by itself
	all        float64
}{
	{"llama3-8b", 8_030_261_248, 15e12, 0, 1.3e6, 1.46e6},
	{"llama3-70b", 70_553_706_496, 15e12, 0, 6.4e6, 7.0e6},
	{"llama3-405b", 405_853_388_800, 15.6e12, 3.8e25, 0, 30.84e6},
}

func TestPaperPipelinesComeToThePublishedFigures(t *testing.T) {
	for _, want := range published {
		t.Run(want.name, func(t *testing.T) {
			all := planOf(t, filepath.Join("..", "pipelines", want.name+".hcl"))
			pretrain := stepOf(t, all, "pretrain.base")
			if e := pretrain.Estimate; e.Parameters != want.parameters || e.Tokens != want.tokens {
				t.Errorf("%d parameters on %d tokens, published are %d on %d", e.Parameters, e.Tokens, want.parameters, want.tokens)
			}
			need := pretrain.Hardware
			if want.flops > 0 && off(need.SixND, want.flops) > 0.005 {
				t.Errorf("%.3e FLOPs, published are %.1e", need.SixND, want.flops)
			}
			if want.pretrain > 0 && off(need.GPUHours, want.pretrain) > 0.01 {
				t.Errorf("%.3e GPU-hours of pre-training, published are %.3e", need.GPUHours, want.pretrain)
			}
			if off(all.Hardware.GPUHours, want.all) > 0.03 {
				t.Errorf("%.4e GPU-hours in all, published are %.4e", all.Hardware.GPUHours, want.all)
			}
			for _, s := range all.Steps {
				if s.Hardware != nil && s.Hardware.Busy != 1 {
					t.Errorf("%s keeps %.0f %% of its GPUs busy", s.Address, 100*s.Hardware.Busy)
				}
				if s.Hardware != nil && s.Hardware.Memory != nil && !s.Hardware.Memory.Fits {
					t.Errorf("%s needs %.0f GB of a GPU", s.Address, s.Hardware.Memory.Total/1e9)
				}
			}
			if stages := countChildren(all, "extend_context.long"); stages != 6 {
				t.Errorf("%d stages of longer contexts, the paper has six", stages)
			}
		})
	}
}

// Attention is in the plan's FLOPs and not in 6·N·tokens: the embedding table is in the latter alone.
func TestPaperFLOPs(t *testing.T) {
	all := planOf(t, filepath.Join("..", "pipelines", "llama3-405b.hcl"))
	e := stepOf(t, all, "pretrain.base").Estimate
	tokens := 15.6e12
	want := tokens * (6*(405_853_388_800-128256*16384-16384*(2*126+1)) + 12*126*16384*8192/2)
	if off(e.FLOPs, want) > 1e-9 {
		t.Errorf("%.6e FLOPs, not %.6e", e.FLOPs, want)
	}
	if got := countChildren(all, "scaling_law.size"); got != 50 {
		t.Errorf("%d proxies at ten budgets", got)
	}
}

// The other alignment is planned as well.
func TestPaperPPO(t *testing.T) {
	all := planOf(t, filepath.Join("..", "pipelines", "llama3-70b.hcl"), "--var", "alignment=ppo")
	ppo := stepOf(t, all, "ppo.aligned")
	if ppo.Action != plan.Deferred || stepOf(t, all, "dpo.aligned").Action != plan.Skipped {
		t.Errorf("ppo is %s", ppo.Action)
	}
	if tr := ppo.Estimate.Training; tr == nil || tr.Trained != 2 || tr.Frozen != 2 || tr.Context != 8192 {
		t.Errorf("ppo trains %+v", tr)
	}
}

func planOf(t *testing.T, args ...string) plannedAll {
	t.Helper()
	a := newApp(catalog.Types)
	var out, problems bytes.Buffer
	a.out, a.err = &out, &problems
	if code := a.run(append([]string{"plan", "--json", "--state", t.TempDir()}, args...)); code != 0 {
		t.Fatalf("plan %v: exit code %d\n%s", args, code, &problems)
	}
	var all plannedAll
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func stepOf(t *testing.T, all plannedAll, address string) plannedStep {
	t.Helper()
	for _, s := range all.Steps {
		if s.Address == address {
			return s
		}
	}
	t.Fatalf("the plan has no step %s", address)
	return plannedStep{}
}

func countChildren(all plannedAll, parent string) int {
	n := 0
	for _, s := range all.Steps {
		if s.Parent == parent {
			n++
		}
	}
	return n
}

func off(got, want float64) float64 { return math.Abs(got/want - 1) }
