package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"athanor/steps"
)

const hostile = `<script>alert(1)</script>`

const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>a &lt; b</title><style>rect{fill:red}</style><path class="l1" d="M0 0"/></svg>`

// folder is a report folder with something hostile wherever text comes from elsewhere.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"summary.md": "# Pre-training\n\n| | |\n|---|---|\n| tokens | 1000 |\n| name | " + hostile + " |\n\n![loss](loss.svg)\n\n![rate](lr.svg)\n\n" +
			"## Samples\n\n```\n# no heading\n![no](figure.svg)\n" + hostile + "\n```\n\n> a question\n\nan ![image](http://example.com/x.png) and <img src=x onerror=y>\n\n<div>\n" + hostile + "\n</div>\n",
		"loss.svg":     drawing,
		"lr.svg":       drawing,
		"more.svg":     drawing,
		"results.json": `[{"model":"model","parameters":1234567,"measures":[{"task":"code","metric":"bits_per_byte","items":9,"value":2.5,"low":2.25,"high":2.75}],"new":1}]`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// toy is a page with every kind of block.
func toy(t *testing.T) *Page {
	t.Helper()
	report, err := Open(folder(t))
	if err != nil {
		t.Fatal(err)
	}
	var models Models
	models.Add(report.Results, "evaluate.a", func(string) string { return "base" })
	models.Add([]Result{{Model: "x", Parameters: 9, Measures: []Measure{{Task: "code", Metric: "acc", Interval: Interval{1, 1, 1}}}}}, "evaluate.b", func(m string) string { return m })
	first := &Section{Title: "pretrain.base", State: "done", Aside: "3s", Blocks: report.Blocks}
	failed := &Section{Title: "pretrain.base", State: "failed", Blocks: []Block{
		Note{Kind: "failed", Text: "it has failed " + hostile},
		Note{Kind: "failed", Text: "two lines:\n  0 %  * 100 %\n\nand no more"},
		Fold{Title: "Log " + hostile, Blocks: []Block{Code{Text: "``` " + hostile}}},
		Table{Head: []string{"name", "n"}, Rows: [][]string{{Verbatim("a|b`" + hostile), "1"}, {Plain("*no* _stars_ " + hostile), "2"}}, Right: []bool{false, true}},
		Figures{{Name: "broken.svg", Alt: "broken", SVG: []byte("<svg")}, {Name: "gone.svg", Alt: "gone"}},
	}}
	return &Page{
		Title: "A toy " + hostile, Lead: "lead", Facts: []Fact{{"Time", "3s"}},
		Sections: []*Section{models.Section(), {Title: "Steps", Sections: []*Section{first, failed}}, {Title: "The recipe", Folded: true, Blocks: []Block{Code{Language: "hcl", Text: "a = 1\n"}}}},
	}
}

// TestControlCharactersAreNotShown: models write them as well as people.
func TestControlCharactersAreNotShown(t *testing.T) {
	p := &Page{Title: "a\x00b", Sections: []*Section{{Title: "\x1b[31mred", Blocks: []Block{Code{Text: "tab\tbell\a\n"}, Text("\u0085\n")}}}}
	markdown, _ := p.Markdown("figures")
	for _, text := range []string{string(markdown), string(p.HTML())} {
		if strings.ContainsAny(text, "\x00\x1b\a\u0085") || !strings.Contains(text, "a\uFFFDb") || !strings.Contains(text, "tab\tbell\uFFFD\n") {
			t.Errorf("%q", text)
		}
	}
}

// `make golden` rewrites the golden file.
func TestMarkdownIsGolden(t *testing.T) {
	got, figures := toy(t).Markdown("figures")
	const path = "testdata/toy.md"
	if os.Getenv("ATHANOR_GOLDEN") == "update" {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v; the page is\n%s", err, got)
	}
	if len(figures) != 4 || figures["pretrain-base-loss.svg"] == nil || figures["pretrain-base-2-broken.svg"] == nil {
		t.Errorf("%d figures", len(figures))
	}
	for name := range figures {
		if !strings.Contains(string(got), "](figures/"+name+")") {
			t.Errorf("nothing shows %s", name)
		}
	}
}

func TestHTMLIsWholeAndLoadsNothing(t *testing.T) {
	text := string(toy(t).HTML())
	wellFormed(t, text)
	if !strings.Contains(text, policy) {
		t.Error("no policy keeps a browser from loading what the page does not hold")
	}
	loads := regexp.MustCompile(`(?i)<(script|link|img|iframe|object|embed|image|use|foreignObject)\b|\bsrc=|url\(|@import|\son[a-z]+=`)
	// Text may say anything: only tags and style sheets count.
	for _, tag := range regexp.MustCompile(`(?s)<style>.*?</style>|<[a-zA-Z!/][^>]*>`).FindAllString(text, -1) {
		if found := loads.FindString(tag); found != "" {
			t.Errorf("%q in %s", found, tag)
		}
	}
	for _, href := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		id, ok := strings.CutPrefix(href[1], "#")
		if !ok || strings.Count(text, `id="`+id+`"`) != 1 {
			t.Errorf("%s leads nowhere on the page", href[0])
		}
	}
	for _, want := range []string{
		`<span class="state failed">failed</span>`, "1,234,567", "2.5000 <em>[2.2500,\u00a02.7500]</em>", "&lt;script&gt;alert(1)&lt;/script&gt;",
		"<em>image</em>", "# no heading", "![no](figure.svg)", "The figure broken.svg cannot be shown", "<h4>Samples</h4>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if n := strings.Count(text, `<path class="l1"`); n != 3 {
		t.Errorf("%d figures: loss, rate, and the one that the summary does not show", n)
	}
}

// wellFormed checks that every element ends where it should.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	// These have no end in HTML, and the page writes them so.
	text = regexp.MustCompile(`<(meta|br|hr)( [^>]*)?>`).ReplaceAllString(strings.Replace(text, "<!DOCTYPE html>", "", 1), "<$1$2/>")
	d := xml.NewDecoder(strings.NewReader(text))
	d.Entity = xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestThePageIsTheSameEachTime(t *testing.T) {
	a := toy(t)
	first := a.HTML()
	if !bytes.Equal(first, a.HTML()) || !bytes.Equal(first, toy(t).HTML()) {
		t.Error("equal pages have other bytes")
	}
}

func TestDrawingsAreCleaned(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", `<svg viewBox="0 0 1 1"><rect x="1" fill="red"/></svg>`, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect x="1" fill="red"></rect></svg>`},
		{"script", `<svg><script>alert(1)</script><g/></svg>`, `<svg xmlns="http://www.w3.org/2000/svg"><g></g></svg>`},
		{"handler", `<svg><g onclick="x()" class="a&quot;b"/></svg>`, `<svg xmlns="http://www.w3.org/2000/svg"><g class="a&#34;b"></g></svg>`},
		{"reference", `<svg><image href="http://x"/><use href="#y"/><a href="z"><path d="M0"/></a></svg>`, `<svg xmlns="http://www.w3.org/2000/svg"></svg>`},
		{"paint from elsewhere", `<svg><g fill="url(http://x)"/></svg>`, `<svg xmlns="http://www.w3.org/2000/svg"><g></g></svg>`},
		{"foreign", `<svg><foreignObject><body>x</body></foreignObject><text>a &lt; b</text></svg>`, `<svg xmlns="http://www.w3.org/2000/svg"><text>a &lt; b</text></svg>`},
		{"drawing within", `<svg><svg><path/></svg></svg>`, `<svg xmlns="http://www.w3.org/2000/svg"></svg>`},
	} {
		if got, err := inline([]byte(c.in)); err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
	for _, bad := range []string{"", "no drawing", "<html><svg/></html>", "<svg", "<svg><g></svg>"} {
		if got, err := inline([]byte(bad)); err == nil {
			t.Errorf("%q has come to be %s", bad, got)
		}
	}
}

func TestLongSectionsAreFolded(t *testing.T) {
	example := "~~~\n" + strings.Repeat("line\n", 40) + "~~~\n"
	blocks := folded([]Block{Text("intro\n\n## Long\n\n" + example + "\n## Short\n\n~~~\n## no heading\n~~~\n\n## Table\n\n| a |\n|---|\n")})
	var got []string
	for _, b := range blocks {
		switch b := b.(type) {
		case Fold:
			got = append(got, "fold "+b.Title)
		case Text:
			got = append(got, "text "+strings.SplitN(string(b), "\n", 2)[0])
		}
	}
	if want := "text intro, fold Long, fold Short, text ## Table"; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
}

func TestModelsSideBySide(t *testing.T) {
	one := func(model, task string, v float64) Result {
		return Result{Model: model, Parameters: 5, Measures: []Measure{{Task: task, Metric: "acc", Interval: Interval{v, v - 0.25, v + 0.25}}}}
	}
	same := func(m string) string { return m }
	var m Models
	if m.Section() != nil {
		t.Error("a table of nothing")
	}
	m.Add([]Result{one("base", "a", 0.5), one("sft", "a", 0.75)}, "evaluate.one", same)
	m.Add([]Result{one("base", "b", 0.25)}, "evaluate.two", same) // the same model: it joins
	m.Add([]Result{one("base", "a", 1)}, "evaluate.three", same)  // a contradiction: it does not
	wins := one("dpo", "c", 0.5)
	wins.Measures[0].WinRate = &Interval{0.75, 0.5, 1}
	wins.Against = "sft"
	m.Add([]Result{one("sft", "c", 0.25), wins}, "evaluate.four", same)
	table := m.Section().Blocks[0].(Table)
	if got := strings.Join(table.Rows[4], "; "); got != `c: acc, better than sft; –; –; –; 0.7500 *\[0.5000,`+"\u00a0"+`1.0000\]*` {
		t.Errorf("row %s", got)
	}
	if want := " base sft base \\(evaluate.three\\) dpo"; strings.Join(table.Head, " ") != strings.ReplaceAll(want, `\`, "") {
		t.Errorf("columns %q", table.Head)
	}
	if got := strings.Join(table.Rows[2], "; "); got != `b: acc; 0.2500 *\[0.0000,`+"\u00a0"+`0.5000\]*; –; –; –` {
		t.Errorf("row %s", got)
	}
}

func TestCurvesOfAStepAtWork(t *testing.T) {
	dir := t.TempDir()
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: dir}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if err := rt.Curves([]steps.Curves{{File: "loss.svg", Title: "Loss", X: "tokens", Lines: []string{"loss"}}, {File: "kl.svg", Lines: []string{"kl"}}}); err != nil {
		t.Fatal(err)
	}
	course, err := steps.ReadCourse(dir)
	if err != nil {
		t.Fatal(err)
	}
	if figures, err := CurvesOf(course); figures != nil || err != nil {
		t.Errorf("curves of nothing: %v, %v", figures, err)
	}
	if err := rt.Metric(1, map[string]float64{"tokens": 1, "loss": 2}); err != nil {
		t.Fatal(err)
	}
	figures, err := CurvesOf(course)
	if err != nil || len(figures) != 1 || figures[0].Alt != "Loss" || !bytes.Contains(figures[0].SVG, []byte("<svg")) {
		t.Errorf("%v, %v", figures, err)
	}
}
