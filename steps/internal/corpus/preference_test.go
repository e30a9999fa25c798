package corpus

import (
	"path/filepath"
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
		{map[string]string{"prompt": "prompt"}, PreferenceShape, 0},
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
