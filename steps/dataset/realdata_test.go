package dataset

import (
	"os"
	"path/filepath"
	"testing"

	"athanor/steps"
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

// Web text that others have filtered passes the published rules for the most part, dialogues in Chinese pass them with
// limits of their own, and a test set is found in the text that it was taken from.
func TestRealCuration(t *testing.T) {
	dir, err := filepath.Abs("../../../shared/data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no public corpora beside the repository:", err)
	}
	run := func(c Config) *produced {
		t.Helper()
		p, err := produce(t, dir, 2, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", p.data.Stats())
		return p
	}
	web := newConfig()
	web.JSONL = []RecordSource{{Include: []string{"pretrain/c4_300.jsonl.gz"}}}
	web.Filter.Rules = []string{"gopher", "gopher_repetition", "fineweb"}
	web.Dedup = nearly(0.8)
	if s := run(web).data.Stats(); s.Kept < 240 || s.Kept == 300 {
		t.Errorf("%d of 300 pages of C4 pass", s.Kept)
	}
	chinese := newConfig()
	chinese.JSONL = []RecordSource{{Include: []string{"sft/glaive_toolcall_zh.json.gz"}, Columns: Columns{Messages: ptr("conversations"), Role: ptr("from"), Content: ptr("value")}}}
	chinese.Filter.Rules = []string{"gopher"}
	chinese.Filter.MinMeanWordChars, chinese.Filter.StopWords = ptr(1.0), []string{"的", "是", "在", "了", "我", "您", "请"}
	if s := run(chinese).data.Stats(); s.Kept < 290 {
		t.Errorf("%d of 300 dialogues in Chinese pass", s.Kept)
	}
	test := newConfig()
	test.JSONL = web.JSONL
	test.Limit.Documents = ptr(int64(30))
	web = newConfig()
	web.JSONL = test.JSONL
	web.Decontaminate = &Decontaminate{Against: []steps.Artifact{run(test).artifact()}, Ngram: 13, MaxFound: 0.5}
	_, err = produce(t, dir, 2, web)
	wantError(t, dir, err, "decontaminate.against[0]", "30 of the 30 documents of this evaluation set are in the data")
	web.Decontaminate.MaxFound = 1
	if s := run(web).data.Stats(); s.Dropped[dropEvaluation] < 25 || s.Dropped[dropEvaluation] > 40 {
		t.Errorf("30 test pages: %d pages share 13 words with them", s.Dropped[dropEvaluation])
	}
}
