package dataset

import (
	"os"
	"path/filepath"
	"testing"

	"athanor/steps/internal/corpus"
)

// Public corpora beside the repository, where there are any. The figures are those of the unpacked files.
func TestRealData(t *testing.T) {
	dir, err := filepath.Abs("../../../shared/data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no public corpora beside the repository:", err)
	}
	for _, c := range []struct {
		name             string
		set              func(*Config)
		shape            corpus.Shape
		documents, bytes int64
	}{
		{"JSON lines", func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"pretrain/c4_300.jsonl.gz"}}} }, corpus.TextShape, 300, 0},
		{"one text", func(c *Config) { c.Files = []FileSource{{Include: []string{"pretrain/tinyshakespeare.txt.gz"}}} }, corpus.TextShape, 1, 1115394},
		{"separated text", func(c *Config) {
			c.Files = []FileSource{{Include: []string{"pretrain/tinyshakespeare.txt.gz"}, Separator: ptr("\n\n")}}
		}, corpus.TextShape, 7222, 1115394 - 2*7221},
		{"a JSON list of preferences", func(c *Config) {
			c.JSONL = []RecordSource{{Include: []string{"preference/rasbt_instruction_preference.json.gz"}, Columns: Columns{Prompt: ptr("instruction")}}}
			c.JSONL[0].Columns.Chosen, c.JSONL[0].Columns.Rejected = ptr("chosen"), ptr("rejected")
		}, corpus.PreferenceShape, 1100, 0},
		{"dialogues", func(c *Config) {
			c.JSONL = []RecordSource{{Include: []string{"sft/glaive_toolcall_en.json.gz"}, Columns: Columns{Messages: ptr("conversations"), Role: ptr("from"), Content: ptr("value")}}}
		}, corpus.MessagesShape, 300, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := newConfig()
			c.set(&config)
			p, err := produce(t, dir, 2, config)
			if err != nil {
				t.Fatal(err)
			}
			s := p.data.Stats()
			split := s.Splits[corpus.Train]
			t.Logf("%+v", s)
			if s.Shape != c.shape || split.Documents != c.documents || c.bytes > 0 && split.Bytes != c.bytes || s.BadRecords > 0 {
				t.Errorf("%s, %d documents, %d bytes", s.Shape, split.Documents, split.Bytes)
			}
		})
	}
}
