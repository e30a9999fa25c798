package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// table prints what a file of results says, cell by cell: each side's rate, how many times a peer's it is, the share of
// the measured peak and the memory. Lines of other programs are passed over.
func table(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	type cell struct {
		job, model     string
		context, batch int
	}
	var cells []cell
	results := map[cell][]Result{}
	top, device := 0.0, ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r Result
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue
		}
		if r.Job == "peak" {
			top, device = max(top, r.Rate), r.Device
			continue
		}
		c := cell{r.Job, r.Model, r.Context, r.Batch}
		if len(results[c]) == 0 {
			cells = append(cells, c)
		}
		results[c] = append(results[c], r)
	}
	fmt.Fprintf(w, "%s, measured peak %.0f TFLOP/s in bfloat16\n\n", device, top/1e12)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "what\ttokens/step\tside\ttokens/s\tof peak\tGiB\tAthanor is\t")
	for _, c := range cells {
		name := fmt.Sprintf("%s, context %d", c.model, c.context)
		if c.job == "decode" {
			name = fmt.Sprintf("decode %s, batch %d", c.model, c.batch)
		}
		own := 0.0
		for _, r := range results[c] {
			if r.Side == side {
				own = r.Rate
			}
		}
		for _, r := range results[c] {
			fmt.Fprintln(t, r.row(name, own, top))
		}
	}
	return t.Flush()
}

// row is one side's line; own is the rate of this program in the same cell.
func (r Result) row(name string, own, top float64) string {
	if r.Problem != "" {
		return fmt.Sprintf("%s\t\t%s\t%.60s\t\t\t\t", name, r.Side, r.Problem)
	}
	tokens, share, times := "", "", ""
	if r.Job == "step" {
		tokens = fmt.Sprint(r.Tokens)
		if top > 0 {
			share = fmt.Sprintf("%.0f %%", 100*r.Rate*r.FLOPs/top)
		}
	}
	if r.Side != side && own > 0 && r.Rate > 0 {
		times = fmt.Sprintf("×%.2f", own/r.Rate)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%.0f\t%s\t%.1f\t%s\t", name, tokens, r.Side, r.Rate, share, float64(r.Bytes)/(1<<30), times)
}
