package recorded

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// Figures as a step leaves them that is still at work: a loss that was no number, a line half written.
const running = `{"step":1,"tokens":10,"loss":3,"tokens_per_second":7}
{"step":2,"tokens":20,"loss":"NaN","tokens_per_second":8}
{"step":2,"eval_loss":2.5}
{"step":3,"tokens":30,"loss":2,"tokens_per_second":9}
{"step":4,"tok`

func TestReadWhileAStepWorks(t *testing.T) {
	all, err := Read(write(t, running))
	if err != nil || len(all) != 4 || all[0]["loss"] != 3 || all[3]["tokens"] != 30 {
		t.Fatalf("%v, %v", all, err)
	}
	if _, ok := all[1]["loss"]; ok {
		t.Error("a loss that is no number is shown as one")
	}
	if none, err := Read(filepath.Join(t.TempDir(), "absent")); none != nil || err != nil {
		t.Errorf("no file has the figures %v, %v", none, err)
	}
	if _, err := Read(write(t, "{\"step\":1}\n{]\n{\"step\":3}\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a damaged line: %v", err)
	}
}

func TestChartTakesTheFiguresThatAreThere(t *testing.T) {
	all, err := Read(write(t, running))
	if err != nil {
		t.Fatal(err)
	}
	c := all.Chart(&steps.Curves{Title: "Loss", X: "tokens", XLabel: "tokens", Lines: []string{"loss", "absent"}, Points: []string{"eval_loss"}})
	if len(c.Series) != 2 {
		t.Fatalf("%d series", len(c.Series))
	}
	loss, heldOut := c.Series[0], c.Series[1]
	if !slices.Equal(loss.X, []float64{10, 30}) || !slices.Equal(loss.Y, []float64{3, 2}) || !loss.Smooth || loss.Points {
		t.Errorf("loss %+v", loss)
	}
	// The evaluation has no count of tokens of its own: it stands where the last step has ended.
	if !slices.Equal(heldOut.X, []float64{20}) || heldOut.Name != "eval loss" || !heldOut.Points || heldOut.Smooth {
		t.Errorf("held-out %+v", heldOut)
	}
	exact := all.Chart(&steps.Curves{X: "tokens", Lines: []string{"loss"}, Exact: true})
	if len(exact.Series) != 1 || exact.Series[0].Smooth || exact.Series[0].Name != "" {
		t.Errorf("what is set and stands alone is neither smoothed nor named: %+v", exact.Series)
	}
}

// What depends on the machine is not in a report, so that equal trainings have equal reports.
func TestReportLeavesOutTheRate(t *testing.T) {
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir()}, &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if err := rt.Metric(1, map[string]float64{"tokens": 10, "loss": 3, "tokens_per_second": 12345}); err != nil {
		t.Fatal(err)
	}
	curves := []steps.Curves{{File: "loss.svg", Title: "Loss", X: "tokens", Lines: []string{"loss"}}}
	files, err := Report(rt, "tokens", curves)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(files["metrics.jsonl"]); got != "{\"loss\":3,\"step\":1,\"tokens\":10}\n" {
		t.Errorf("metrics.jsonl holds %s", got)
	}
	if !strings.Contains(string(files["loss.svg"]), "<svg") || Markdown(curves) != "\n![Loss](loss.svg)\n" {
		t.Errorf("the curve: %q, %s", Markdown(curves), files["loss.svg"])
	}
}
