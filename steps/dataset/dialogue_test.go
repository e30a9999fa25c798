package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/steps/internal/corpus"
)

// said writes a document as one line: who says what, and the two answers.
func said(d corpus.Document) string {
	var b strings.Builder
	for _, m := range d.Messages {
		b.WriteString(m.Role + ": " + m.Content + string(m.ToolCalls) + " | ")
		if m.Tools != "" {
			b.WriteString("tools: " + string(m.Tools) + " | ")
		}
	}
	if d.Prompt != "" {
		b.WriteString("prompt: " + d.Prompt + " | ")
	}
	if d.Label != nil {
		fmt.Fprintf(&b, "%v", *d.Label)
	}
	if d.Chosen != "" {
		b.WriteString(d.Chosen + " > " + d.Rejected)
	}
	return strings.TrimSuffix(b.String(), " | ")
}

// TestDialogueFormats reads the formats in which dialogues and preferences are published.
func TestDialogueFormats(t *testing.T) {
	for _, c := range []struct {
		name, record string
		columns      Columns
		shape        corpus.Shape
		want         string
	}{
		{"prompt and completion", `{"prompt":"Q","completion":"A"}`, Columns{}, corpus.MessagesShape, "user: Q | assistant: A"},
		{"under other names", `{"question":"Q","answer":"A","prompt":"no"}`, Columns{Prompt: ptr("question"), Answer: ptr("answer")}, corpus.MessagesShape, "user: Q | assistant: A"},
		{"Alpaca", `{"instruction":"Do","input":"it","output":"A","text":"no"}`, Columns{}, corpus.MessagesShape, "user: Do\n\nit | assistant: A"},
		{"Alpaca without input", `{"instruction":"Do","input":"","output":"A"}`, Columns{}, corpus.MessagesShape, "user: Do | assistant: A"},
		{"Alpaca by columns", `{"task":"Do","about":"it","output":"A"}`, Columns{Prompt: ptr("task"), Input: ptr("about"), Answer: ptr("output")}, corpus.MessagesShape, "user: Do\n\nit | assistant: A"},
		{"ShareGPT", `{"conversations":[{"from":"system","value":"S"},{"from":"human","value":"Q"},{"from":"gpt","value":"A"},{"from":"function_call","value":"F"},{"from":"observation","value":"O"}]}`,
			Columns{}, corpus.MessagesShape, "system: S | user: Q | assistant: A | assistant: F | tool: O"},
		{"preference", `{"prompt":"Q","chosen":"C","rejected":"R"}`, Columns{}, corpus.PreferenceShape, "prompt: Q | C > R"},
		{"Alpaca with preference", `{"instruction":"Do","input":"it","output":"C","chosen":"C","rejected":"R"}`, Columns{}, corpus.PreferenceShape, "prompt: Do\n\nit | C > R"},
		{"preference about a dialogue", `{"prompt":[{"role":"user","content":"Q"}],"chosen":[{"role":"assistant","content":"C"}],"rejected":[{"role":"assistant","content":"R"}]}`,
			Columns{}, corpus.DialoguePreferenceShape, "user: Q | C > R"},
		{"the prompt within both", `{"chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"C"}],"rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"R"}]}`,
			Columns{}, corpus.DialoguePreferenceShape, "user: Q | C > R"},
		{"the prompt within both, its first turn beside them", `{"prompt":"Q","chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"},{"role":"user","content":"more"},{"role":"assistant","content":"C"}],"rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"},{"role":"user","content":"more"},{"role":"assistant","content":"R"}]}`,
			Columns{}, corpus.DialoguePreferenceShape, "user: Q | assistant: A | user: more | C > R"},
		{"a prompt that the recipe names", `{"q":"P","chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"C"}],"rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"R"}]}`,
			Columns{Prompt: ptr("q"), Chosen: ptr("chosen"), Rejected: ptr("rejected")}, corpus.PreferenceShape, "prompt: P | C > R"},
		{"ShareGPT with preference", `{"conversations":[{"from":"human","value":"Q"}],"chosen":{"from":"gpt","value":"C"},"rejected":{"from":"gpt","value":"R"}}`,
			Columns{}, corpus.DialoguePreferenceShape, "user: Q | C > R"},
		{"one turn beside a text and one without", `{"prompt":"Q","chosen":[{"role":"user","content":"Q "},{"role":"assistant","content":"C"}],"rejected":[{"role":"assistant","content":"R"}]}`,
			Columns{}, corpus.PreferenceShape, "prompt: Q | C > R"},
		{"a named prompt that is the first turn alone", `{"q":"Q","chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"},{"role":"user","content":"more"},{"role":"assistant","content":"C"}],"rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"},{"role":"user","content":"more"},{"role":"assistant","content":"R"}]}`,
			Columns{Prompt: ptr("q"), Chosen: ptr("chosen"), Rejected: ptr("rejected")}, corpus.DialoguePreferenceShape, "user: Q | assistant: A | user: more | C > R"},
		{"calls", `{"tools":[{"type":"function","function":{"name":"f"}}],"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":null,"tool_calls":[{"function": {"name":"f","arguments":{"z":1,"a":[1.0]}}}]},{"role":"tool","content":"R"},{"role":"assistant","content":"A","tool_calls":[]}]}`,
			Columns{}, corpus.MessagesShape, `user: Q | tools: [{"type":"function","function":{"name":"f"}}] | assistant: [{"function":{"name":"f","arguments":{"z":1,"a":[1.0]}}}] | tool: R | assistant: A`},
		{"calls as text", `{"tools":"[{\"name\":\"f\"}]","messages":[{"role":"user","content":"Q"},{"role":"assistant","tool_calls":"[{\"name\":\"f\"}]"}]}`,
			Columns{}, corpus.MessagesShape, `user: Q | tools: [{"type":"function","function":{"name":"f"}}] | assistant: [{"type":"function","function":{"name":"f"}}]`},
		{"ShareGPT with a call", `{"conversations":[{"from":"human","value":"Q"},{"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"b\": 1}}"},{"from":"observation","value":"O"},{"from":"gpt","value":"A"}],"tools":"[]"}`,
			Columns{}, corpus.MessagesShape, `user: Q | assistant: [{"type":"function","function":{"name":"f","arguments":{"b":1}}}] | tool: O | assistant: A`},
		{"a preference after a call", `{"prompt":[{"role":"user","content":"Q"},{"role":"assistant","content":"","tool_calls":[{"name":"f"}]},{"role":"tool","content":"R"}],"chosen":"C","rejected":"R","tools":[{"name":"f"}]}`,
			Columns{}, corpus.DialoguePreferenceShape, `user: Q | tools: [{"type":"function","function":{"name":"f"}}] | assistant: [{"type":"function","function":{"name":"f"}}] | tool: R | C > R`},
		{"an answer with a label", `{"prompt":"Q","completion":"A","label":false}`, Columns{}, corpus.LabelledShape, "user: Q | assistant: A | false"},
		{"a dialogue with a label", `{"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}],"good":true}`, Columns{Label: ptr("good")}, corpus.LabelledShape, "user: Q | assistant: A | true"},
		{"a label that is a number", `{"prompt":"Q","completion":"A","label":1}`, Columns{}, corpus.MessagesShape, "user: Q | assistant: A"},
		{"a label that the recipe leaves out", `{"prompt":"Q","completion":"A","label":true}`, Columns{Prompt: ptr("prompt"), Answer: ptr("completion")}, corpus.MessagesShape, "user: Q | assistant: A"},
		{"transcripts", `{"chosen":"\n\nHuman: Q\n\nAssistant: A\n\nHuman: more\n\nAssistant: C","rejected":"\n\nHuman: Q\n\nAssistant: A\n\nHuman: more\n\nAssistant: R"}`,
			Columns{}, corpus.DialoguePreferenceShape, "user: Q | assistant: A | user: more | C > R"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := newConfig()
			config.JSONL = []RecordSource{{Include: []string{"a"}, Columns: c.columns}}
			p, err := produce(t, put(t, map[string]string{"a": c.record}), 1, config)
			if err != nil {
				t.Fatal(err)
			}
			config = newConfig() // and what was written, as a Parquet source
			config.Parquet = []RecordSource{{Include: []string{"*.parquet"}}}
			again, err := produce(t, p.dir, 1, config)
			if err != nil {
				t.Fatal(err)
			}
			made := []*produced{p, again}
			if c.shape == corpus.DialoguePreferenceShape { // with its columns named, which says nothing of what they hold
				config.Parquet[0].Columns = Columns{Prompt: ptr("prompt"), Chosen: ptr("chosen"), Rejected: ptr("rejected")}
				named, err := produce(t, p.dir, 1, config)
				if err != nil {
					t.Fatal(err)
				}
				made = append(made, named)
			}
			for _, p := range made {
				for d, err := range p.data.Documents(corpus.Train) {
					if got := said(d); err != nil || got != c.want {
						t.Errorf("%q, want %q: %v", got, c.want, err)
					}
				}
				if p.data.Shape() != c.shape {
					t.Errorf("the shape is %s, want %s", p.data.Shape(), c.shape)
				}
			}
		})
	}
}

// TestDialogueErrors: records that are nearly of these formats say what is missing.
func TestDialogueErrors(t *testing.T) {
	for record, want := range map[string]string{
		`{"prompt":"Q","completion":""}`:                               "answer is empty",
		`{"prompt":" ","completion":"A"}`:                              "prompt is empty",
		`{"chosen":"C","rejected":"R"}`:                                "no prompt",
		`{"messages":[]}`:                                              `"messages" is empty`,
		`{"conversations":[{"from":"human"}]}`:                         `no column "value"`,
		`{"messages":[{"role":"assistant","tool_calls":"f"}]}`:         `"tool_calls": it is no list of objects that have`,
		`{"messages":[{"role":"assistant"}]}`:                          `no column "content"`,
		`{"messages":[{"role":"user","content":"Q"}],"tools":{"f":1}}`: `"tools": it is no list of objects`,
		`{"prompt":"Q","chosen":{"role":"assistant","content":"","tool_calls":[{"name":"f"}]},"rejected":"R"}`: "an answer calls a tool",
		`{"prompt":"Q","chosen":"C","rejected":"R","tools":[{"name":"f"}]}`:                                    "its tools belong to a dialogue",
		`{"messages":["x"]}`:                        "not an object",
		`{"prompt":"Q","chosen":[],"rejected":"R"}`: `"chosen" is empty`,
		`{"prompt":"Q","chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"C"}],"rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"x"},{"role":"user","content":"y"},{"role":"assistant","content":"R"}]}`: "follow different dialogues",
		`{"prompt":[{"role":"user","content":"P"}],"chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"C"}],"rejected":[{"role":"assistant","content":"R"}]}`:                                                                                                                                     "follow different dialogues",
		`{"chosen":[{"role":"user","content":"P"},{"role":"assistant","content":"C"}],"rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"R"}]}`:                                                                                                                                                "follow different dialogues",
		`{"chosen":[{"role":"assistant","content":"C"},{"role":"user","content":"Q"}],"rejected":[{"role":"assistant","content":"R"}]}`:                                                                                                                                                                              "a message of the user",
		`{"prompt":"Q","chosen":{"role":"assistant"},"rejected":1}`: `no column "content"`,
	} {
		config := newConfig()
		config.JSONL = []RecordSource{{Include: []string{"a"}}}
		_, err := produce(t, put(t, map[string]string{"a": record}), 1, config)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", record, err, want)
		}
	}
}

// TestLabelErrors: a column that the recipe names as the label has to be one.
func TestLabelErrors(t *testing.T) {
	config := newConfig()
	config.JSONL = []RecordSource{{Include: []string{"a"}, Columns: Columns{Label: ptr("good")}}}
	_, err := produce(t, put(t, map[string]string{"a": `{"prompt":"Q","completion":"A","good":1}`}), 1, config)
	if err == nil || !strings.Contains(err.Error(), `"good" is neither true nor false`) {
		t.Error(err)
	}
	columns := Columns{Label: ptr("good"), Text: ptr("text")}
	if _, err := columns.shape(); err == nil || !strings.Contains(err.Error(), "a label belongs to a dialogue") {
		t.Error(err)
	}
}

// TestPublishedDialogues reads real sets, if they lie beside the repository.
func TestPublishedDialogues(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "data")
	if _, err := os.Stat(root); err != nil {
		t.Skip("the data is not beside the repository: ", err)
	}
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file    string
		columns Columns
		shape   corpus.Shape
		kept    int64
	}{
		{"preference/rasbt_instruction_preference.json.gz", Columns{}, corpus.PreferenceShape, 1100},
		{"preference/dpo_en_demo.json.gz", Columns{}, corpus.DialoguePreferenceShape, 300},
		{"sft/rasbt_instruction_data.json.gz", Columns{}, corpus.MessagesShape, 1100},
		{"sft/glaive_toolcall_en.json.gz", Columns{}, corpus.MessagesShape, 300},
		{"sft/glaive_toolcall_en.json.gz", Columns{}, corpus.MessagesShape, 300},
		{"preference/kto_en_demo.json.gz", Columns{}, corpus.LabelledShape, 300},
		{"sft/gsm8k_train.jsonl.gz", Columns{Prompt: ptr("question"), Answer: ptr("answer")}, corpus.MessagesShape, 7473},
		{"sft/dolly_hhrlhf_1000.jsonl.gz", Columns{Prompt: ptr("prompt"), Answer: ptr("response")}, corpus.MessagesShape, 1000},
	} {
		config := newConfig()
		config.JSONL = []RecordSource{{Include: []string{filepath.Join(root, c.file)}, Columns: c.columns}}
		p, err := produce(t, t.TempDir(), 2, config)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if s := p.data.Stats(); p.data.Shape() != c.shape || s.Kept != c.kept {
			t.Errorf("%s: %d documents of shape %s, want %d of %s; bad: %v", c.file, s.Kept, p.data.Shape(), c.kept, c.shape, s.BadExamples)
		}
		for d := range p.data.Documents(corpus.Train) {
			for _, m := range d.Messages {
				if !slices.Contains([]string{"system", "user", "assistant", "tool"}, m.Role) {
					t.Fatalf("%s: the role %q", c.file, m.Role)
				}
			}
		}
	}
}
