package evaluate

import (
	"context"
	"fmt"
	"slices"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/needle"
)

// Needle is a needle-in-a-haystack test.
type Needle struct {
	Name  string         `json:"name" hcl:"label"`
	Data  steps.Artifact `json:"data" kind:"dataset" doc:"The text that facts are hidden in."`
	Split string         `json:"split" default:"\"holdout\"" one_of:"holdout,train" doc:"Which of its documents to take."`
	needle.Grid
}

// found is what a model made of one such test.
type found struct {
	Task      string  `json:"task"`
	ValueLoss float64 `json:"value_loss"` // see needle.Test.ValueLoss
	*needle.Result
}

// needles asks the model for every fact of a test. All models are asked at the same lengths: those of the block or, if it
// names none, those that suit the first model's context.
func (e *evaluation) needles(ctx context.Context, at string, n Needle) error {
	hay, err := e.haystack(at, n)
	if err != nil {
		return err
	}
	window := e.scorer.Context
	if e.first != nil {
		n.Lengths = e.first.lengthsOf()[n.Name]
		if longest := n.Lengths[len(n.Lengths)-1]; longest > window {
			e.rt.Log("%s%s: texts of up to %d tokens are beyond the context of %d", e.prefix(), n.Name, longest, window)
			window = longest
		}
	}
	test, err := needle.New(hay, n.Grid, window, e.rt.Seed())
	if err != nil {
		return steps.Within(at, err)
	}
	r, err := test.Run(ctx, e.model, func(done, total int) { e.progress(n.Name, done, total) })
	if err != nil {
		return err
	}
	values, err := test.ValueLoss(ctx, e.model)
	if err != nil {
		return err
	}
	var right []float64
	for _, a := range r.Answers {
		right = append(right, one(a.Right))
		query := fmt.Sprintf("%s (%d tokens, depth %.0f %%, %s)", a.Question, a.Length, 100*a.Depth, a.Value)
		e.items = append(e.items, item{Model: e.Model, Task: n.Name, Query: query, Text: a.Text, Right: &a.Right})
	}
	e.shared(n.Name, "exact_match", right)
	for _, line := range r.Lines() {
		e.rt.Log("%s%s: %s", e.prefix(), n.Name, line)
	}
	e.Needles = append(e.Needles, found{n.Name, values, r})
	return nil
}

// haystackTexts is how many texts of the greatest length the haystack is enough for: they begin at random documents.
const haystackTexts = 100

// haystack reads the documents of a test with the model's tokenizer, as many as it needs.
func (e *evaluation) haystack(at string, n Needle) (needle.Haystack, error) {
	hay := needle.Haystack{Tokenizer: e.tokenizer, Start: e.start, Stop: e.stop}
	set, err := corpus.Open(n.Data.Path)
	if err != nil {
		return hay, err
	}
	if set.Shape() != corpus.TextShape {
		return hay, steps.Blame(at+".data", "the dataset has documents of shape %s: facts are hidden in text", set.Shape())
	}
	enough, have := haystackTexts*max(e.scorer.Context, slices.Max(append([]int{0}, n.Lengths...))), 0
	for d, err := range set.Documents(n.Split) {
		if err != nil {
			return hay, err
		}
		ids := e.tokenizer.Encode(d.Text)
		hay.Documents = append(hay.Documents, ids)
		if have += len(ids); have > enough {
			break
		}
	}
	if len(hay.Documents) == 0 {
		return hay, steps.Blame(at+".data", "the dataset has no documents in its %s split: set holdout where it is made, or split = \"train\" here", n.Split)
	}
	return hay, nil
}

// lengthsOf are the lengths at which a model was tested, by test.
func (o *outcome) lengthsOf() map[string][]int {
	lengths := map[string][]int{}
	for _, n := range o.Needles {
		lengths[n.Task] = slices.Clone(n.Lengths)
	}
	return lengths
}

// heatMaps draws the grids of all models, by the names of their files.
func heatMaps(outcomes []*outcome) map[string][]byte {
	files := map[string][]byte{}
	for _, o := range outcomes {
		for _, n := range o.Needles {
			title := "Needles found: " + n.Task
			if len(outcomes) > 1 {
				title += ", " + o.Model
			}
			files[o.heatMapName(n.Task)] = n.HeatMap(title).SVG()
		}
	}
	return files
}

// heatMapName is the name of a grid's file.
func (o *outcome) heatMapName(task string) string {
	name := "needle_" + task
	if o.beside {
		name += "_" + o.Model
	}
	return fileName(name)
}
