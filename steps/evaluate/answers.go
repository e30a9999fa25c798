package evaluate

import (
	"fmt"
	"slices"
	"strings"

	charts "athanor/steps/internal/figure"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/reward"
	"athanor/steps/page"
)

// rewards are what the reward model gave, from the least to the greatest.
func (c *conversation) rewards() []float64 {
	list := make([]float64, len(c.answers))
	for i := range c.answers {
		list[i] = c.answers[i].score.Parts[reward.ModelName]
	}
	slices.Sort(list)
	return list
}

// quantileNames are the quantiles of rewards that tables show, in per cent.
var quantileNames = []int{5, 25, 50, 75, 95}

// quantiles are read off sorted values, the nearest below.
func quantiles(sorted []float64) map[string]float64 {
	out := map[string]float64{}
	for _, q := range quantileNames {
		out[fmt.Sprintf("p%d", q)] = sorted[min(len(sorted)-1, len(sorted)*q/100)]
	}
	return out
}

// rewardFigures draws how the rewards of all models are distributed, by the names of the files.
func rewardFigures(outcomes []*outcome) map[string][]byte {
	files := map[string][]byte{}
	for i, c := range outcomes[0].Chats {
		if c.Rewards == nil {
			continue
		}
		chart := charts.Chart{Title: "Rewards of answers: " + c.Task, XLabel: "reward", YLabel: "share of answers with no more"}
		for _, o := range outcomes {
			sorted := o.Chats[i].rewards()
			shares := make([]float64, len(sorted))
			for n := range shares {
				shares[n] = float64(n+1) / float64(len(sorted))
			}
			chart.Series = append(chart.Series, charts.Series{Name: o.Model, X: sorted, Y: shares})
		}
		files[fileName("reward_"+c.Task)] = chart.SVG()
	}
	return files
}

// conversations writes what the tables of figures do not say: who wins how often, the distribution of rewards, and some
// answers of all models, one below the other.
func conversations(b *strings.Builder, outcomes []*outcome) {
	for i := range outcomes[0].Chats {
		c := &outcomes[0].Chats[i]
		wins(b, outcomes, c)
		if c.Rewards != nil {
			fmt.Fprintf(b, "\n## Rewards: %s\n\n| quantile |", c.Task)
			for _, o := range outcomes {
				fmt.Fprintf(b, " %s |", o.Model)
			}
			fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(outcomes)))
			for _, q := range quantileNames {
				fmt.Fprintf(b, "| %d %% |", q)
				for _, o := range outcomes {
					fmt.Fprintf(b, " %.3f |", o.Chats[i].Rewards[fmt.Sprintf("p%d", q)])
				}
				b.WriteString("\n")
			}
			fmt.Fprintf(b, "\n![rewards](%s)\n", fileName("reward_"+c.Task))
		}
		show(b, outcomes, i)
	}
}

// wins writes how often each model is better than the one that it is set against, in the eyes of each judge.
func wins(b *strings.Builder, outcomes []*outcome, c *conversation) {
	if len(outcomes) == 1 || c.chat.Config.IsZero() {
		return
	}
	fmt.Fprintf(b, "\n## Win rates: %s\n\nThe share of answers that a judge finds better, equals counting half.\n\n| judge |", c.Task)
	for _, o := range outcomes[1:] {
		fmt.Fprintf(b, " %s over %s | equal |", o.Model, o.Against)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|---|", len(outcomes)-1))
	for i, m := range outcomes[0].Measures {
		if m.Task != c.Task || !m.judge {
			continue
		}
		fmt.Fprintf(b, "| %s |", strings.ReplaceAll(m.Metric, "_", " "))
		for _, o := range outcomes[1:] {
			fmt.Fprintf(b, " %s | %.3f |", o.Measures[i].Wins.text("%.3f"), o.Measures[i].Ties)
		}
		b.WriteString("\n")
	}
}

// show writes the answers of all models to some of the prompts.
func show(b *strings.Builder, outcomes []*outcome, i int) {
	c := &outcomes[0].Chats[i]
	for n, at := range finetune.Evenly(len(c.answers), c.chat.Show) {
		if n == 0 {
			fmt.Fprintf(b, "\n## Answers: %s\n", c.Task)
		}
		prompt := c.answers[at].prompt
		fmt.Fprintf(b, "\n%s\n\n| | |\n|---|---|\n", quote(prompt.Messages[len(prompt.Messages)-1].Content))
		for _, o := range outcomes {
			a := &o.Chats[i].answers[at]
			text := cell(a.Text)
			if !a.Ended {
				text += " …"
			}
			fmt.Fprintf(b, "| %s | %s |\n", o.Model, text)
		}
		if prompt.Reference != "" {
			fmt.Fprintf(b, "| *the dataset* | %s |\n", cell(prompt.Reference))
		}
	}
}

// quote makes a text a quotation in Markdown.
func quote(s string) string { return "> " + strings.ReplaceAll(s, "\n", "\n> ") }

// cell makes a text fit for a cell of a table: what Markdown would take for its own is shown as it is, and control characters,
// which make a file no text to other tools, as the sign for what cannot be shown.
func cell(s string) string {
	escaped := strings.NewReplacer("\\", "\\\\", "|", "\\|", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[", "<", "&lt;").Replace(page.Printable(s))
	return strings.Join(strings.FieldsFunc(escaped, func(r rune) bool { return r == '\n' || r == '\r' }), "<br>")
}

// fileName is the name of a figure's file. Names of tests and models are free text.
func fileName(name string) string {
	clean := []rune(name)
	for i, r := range clean {
		if r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			clean[i] = '-'
		}
	}
	return string(clean) + ".svg"
}
