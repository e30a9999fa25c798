package reward

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"athanor/steps/internal/chat"
	"athanor/steps/internal/program"
)

// asked is one line that a program reads.
type asked struct {
	Messages  []chat.Message `json:"messages"`
	Answer    string         `json:"answer"`
	Ended     bool           `json:"ended"`
	Reference string         `json:"reference"`
}

// run lets a program score answers: it is started once for all of them.
func (j *Judge) run(ctx context.Context, command []string, answers []Answer) ([]float64, error) {
	var in, out, complaints bytes.Buffer
	e := json.NewEncoder(&in)
	for _, a := range answers {
		if err := e.Encode(asked{a.Prompt.Messages, a.Text, a.Ended, a.Prompt.Reference}); err != nil {
			return nil, err
		}
	}
	cmd := program.New(ctx, j.dir, command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &complaints
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("the program %q: %w; its standard error: %s", strings.Join(command, " "), err, shorten(strings.TrimSpace(complaints.String())))
	}
	lines := strings.Fields(out.String())
	if len(lines) != len(answers) {
		return nil, fmt.Errorf("the program %q printed %d numbers for %d answers: it prints one for each, in their order", strings.Join(command, " "), len(lines), len(answers))
	}
	points := make([]float64, len(lines))
	for i, line := range lines {
		if points[i], err = strconv.ParseFloat(line, 64); err != nil {
			return nil, fmt.Errorf("the program %q printed %q where the points of an answer belong: a number", strings.Join(command, " "), line)
		}
	}
	return points, nil
}
