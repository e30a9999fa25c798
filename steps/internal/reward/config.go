package reward

import (
	"fmt"
	"regexp"

	"athanor/steps"
)

// Config is the part of a block that says how answers are scored. The score is the weighted sum of all.
type Config struct {
	Reward       steps.Artifact `json:"reward" kind:"model" optional:"true" doc:"A reward model, of a reward_model step, with the tokenizer of the model that answers."`
	RewardWeight float64        `json:"reward_weight" default:"1" doc:"The reward model's part in the score."`
	Rules        []Rule         `json:"rule" hcl:"block" doc:"A rule that gives points to an answer."`
}

// A Rule is one of three: exact, matches or program.
type Rule struct {
	Name    string   `json:"name" hcl:"label"`
	Weight  float64  `json:"weight" default:"1" doc:"What its points count in the score; negative for what answers shall avoid."`
	Exact   bool     `json:"exact" default:"false" doc:"1 point for the answer of the dataset itself, white space around it aside."`
	Extract *string  `json:"extract" doc:"A regular expression: exact compares what its first group last finds in both answers, like \"#### (\\\\S+)\"."`
	Matches *string  `json:"matches" doc:"A regular expression (RE2): 1 point for an answer in which it is found."`
	Program []string `json:"program" doc:"A program with its arguments, run in the pipeline's folder without a shell. It reads one JSON object a line, {\"messages\", \"answer\", \"ended\": whether it ended by itself, \"reference\"}, and prints one number a line: the points. Equal input must get equal points."`
}

// IsZero reports whether nothing is scored.
func (c *Config) IsZero() bool { return c.Reward.IsZero() && len(c.Rules) == 0 }

// Names are those of what gives points, as the figures have them.
func (c *Config) Names() []string {
	var names []string
	if !c.Reward.IsZero() {
		names = append(names, ModelName)
	}
	for _, r := range c.Rules {
		names = append(names, r.Name)
	}
	return names
}

// Check looks at what single attributes cannot say.
func (c *Config) Check() error {
	seen := map[string]bool{ModelName: true}
	for i, r := range c.Rules {
		at := fmt.Sprintf("rule[%d]", i)
		if seen[r.Name] {
			return steps.Blame(at, "the name %q is taken: figures need a name of their own for each rule, and %s is the reward model's", r.Name, ModelName)
		}
		seen[r.Name] = true
		kinds := 0
		for _, has := range []bool{r.Exact, r.Matches != nil, r.Program != nil} {
			if has {
				kinds++
			}
		}
		if kinds != 1 {
			return steps.Blame(at, "the rule %q says %d of exact, matches and program: it says one", r.Name, kinds)
		}
		if r.Program != nil && len(r.Program) == 0 {
			return steps.Blame(at+".program", "the program is empty: give its name and arguments")
		}
		if r.Extract != nil && !r.Exact {
			return steps.Blame(at+".extract", "extract belongs to exact = true")
		}
		if _, err := r.compile(at); err != nil {
			return err
		}
	}
	return nil
}

// compile reads the regular expression of a rule; nil if it has none.
func (r *Rule) compile(at string) (*regexp.Regexp, error) {
	text, name := r.Matches, "matches"
	if r.Extract != nil {
		text, name = r.Extract, "extract"
	}
	if text == nil {
		return nil, nil
	}
	re, err := regexp.Compile(*text)
	if err != nil {
		return nil, steps.Blame(at+"."+name, "%w", err)
	}
	if r.Extract != nil && re.NumSubexp() == 0 {
		return nil, steps.Blame(at+".extract", "%q has no group in parentheses to compare", *text)
	}
	return re, nil
}
