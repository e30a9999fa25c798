package corpus

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// TestPublishedPreferences: where both answers hold the whole dialogue, a prompt beside them may be its first turn alone.
func TestPublishedPreferences(t *testing.T) {
	type turn struct {
		Role    string `parquet:"role"`
		Content string `parquet:"content"`
	}
	type row struct {
		Prompt   string `parquet:"prompt"`
		Chosen   []turn `parquet:"chosen,list"`
		Rejected []turn `parquet:"rejected,list"`
	}
	begin := []turn{{"user", "Q"}, {"assistant", "A"}, {"user", "more"}}
	with := func(answer string) []turn { return append(begin[:3:3], turn{"assistant", answer}) }
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := parquet.WriteFile(path, []row{{"Q", with("C"), with("R")}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		columns map[string]string
		shape   Shape
		turns   int
	}{
		{nil, DialoguePreferenceShape, 3},
		{map[string]string{"prompt": "prompt"}, DialoguePreferenceShape, 3},
	} {
		for d, err := range ReadFile(path, c.columns) {
			if err != nil {
				t.Fatal(err)
			}
			if d.Shape() != c.shape || len(d.Messages) != c.turns || d.Chosen != "C" || d.Rejected != "R" {
				t.Errorf("columns %v: %s, %+v", c.columns, d.Shape(), d)
			}
		}
	}
}

// TestPreferenceRecords: rows that are no preferences are refused one by one, and the rest is read.
func TestPreferenceRecords(t *testing.T) {
	type turn struct {
		Role    string `parquet:"role"`
		Content string `parquet:"content"`
	}
	type row struct {
		Prompt   string `parquet:"prompt"`
		Chosen   []turn `parquet:"chosen,list"`
		Rejected []turn `parquet:"rejected,list"`
	}
	q, c, r := turn{"user", "Q"}, turn{"assistant", "C"}, turn{"assistant", "R"}
	path := filepath.Join(t.TempDir(), "a.parquet")
	err := parquet.WriteFile(path, []row{
		{"Q", []turn{q, c, q}, []turn{q, r, q}},
		{"Q", []turn{c}, []turn{r}},
		{"Q", []turn{q, c, q, c}, []turn{q, r, q, r}},
		{"", []turn{q, c}, []turn{q, r}},
		{"", []turn{c}, []turn{r}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ends with a message of the user", "", "follow different dialogues", "", "have no prompt"}
	i := 0
	for d, err := range ReadFile(path, nil) {
		var bad *RecordError
		switch {
		case want[i] == "" && (err != nil || d.Chosen != "C" || d.Rejected != "R"):
			t.Errorf("row %d: %+v, %v", i, d, err)
		case want[i] != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), want[i])):
			t.Errorf("row %d: %v, want %q", i, err, want[i])
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d rows", i)
	}
}

// TestTranscripts: HH-RLHF's texts in a Parquet file are the dialogues that they stand for.
func TestTranscripts(t *testing.T) {
	type row struct {
		Chosen   string `parquet:"chosen"`
		Rejected string `parquet:"rejected"`
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	const begin = "\n\nHuman: Q\n\nAssistant: A\n\nHuman: more\n\nAssistant: "
	if err := parquet.WriteFile(path, []row{{begin + "C", begin + "R"}}); err != nil {
		t.Fatal(err)
	}
	for d, err := range ReadFile(path, nil) {
		if err != nil || len(d.Messages) != 3 || d.Messages[2].Content != "more" || d.Chosen != "C" || d.Rejected != "R" {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

// TestNestedCalls: tool calls that are columns of their own would be lost, so they are an error, and none are no error.
func TestNestedCalls(t *testing.T) {
	type call struct {
		Name string `parquet:"name"`
	}
	type turn struct {
		Role      string `parquet:"role"`
		Content   string `parquet:"content"`
		ToolCalls []call `parquet:"tool_calls,list"`
	}
	type row struct {
		Messages []turn `parquet:"messages,list"`
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := parquet.WriteFile(path, []row{{[]turn{{Role: "user", Content: "Q"}}}, {[]turn{{"assistant", "A", []call{{"f"}}}}}}); err != nil {
		t.Fatal(err)
	}
	i := 0
	for d, err := range ReadFile(path, nil) {
		if i == 0 && (err != nil || len(d.Messages) != 1) || i == 1 && (err == nil || !strings.Contains(err.Error(), "as one string of JSON")) {
			t.Errorf("row %d: %+v, %v", i, d, err)
		}
		i++
	}
}
