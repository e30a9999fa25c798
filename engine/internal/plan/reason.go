package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"unicode/utf8"

	"athanor/dsl"
	"athanor/steps"
)

// why says in words how the material of a step differs from that of its last result.
func why(old, now *Material, sources map[string]dsl.Address) string {
	var parts []string
	if old.Type != now.Type {
		parts = append(parts, fmt.Sprintf("step type changed: %s → %s", old.Type, now.Type))
	}
	if old.Version != now.Version {
		parts = append(parts, fmt.Sprintf("step version changed: %d → %d", old.Version, now.Version))
	}
	config, inputs := diffConfig(old.Config, now.Config)
	if len(config) > 0 {
		parts = append(parts, "config changed: "+few(config))
	}
	for i, path := range inputs {
		if a, ok := sources[path]; ok {
			inputs[i] = fmt.Sprintf("%s (%s)", path, a)
		}
	}
	if len(inputs) > 0 {
		parts = append(parts, "input changed: "+few(inputs))
	}
	if old.Seed != now.Seed {
		parts = append(parts, fmt.Sprintf("config changed: seed %d → %d", old.Seed, now.Seed))
	}
	if files := diffFiles(old.Files, now.Files); len(files) > 0 {
		parts = append(parts, "files changed: "+few(files))
	}
	if children := diffChildren(old.Children, now.Children); len(children) > 0 {
		parts = append(parts, "children changed: "+few(children))
	}
	if len(parts) == 0 {
		return "an earlier result is gone"
	}
	return strings.Join(parts, "; ")
}

// few joins the first of many.
func few(items []string) string {
	const most = 3
	if len(items) <= most {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
}

// diffConfig lists the attributes whose values differ ("lr 0.003 → 0.001") and the paths of the artifacts that differ,
// both sorted.
func diffConfig(old, now json.RawMessage) (config, inputs []string) {
	d := differ{}
	d.walk("", decode(old), decode(now))
	sort.Strings(d.config)
	sort.Strings(d.inputs)
	return d.config, d.inputs
}

func decode(raw json.RawMessage) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // 1e-5 stays as it is written
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}

type differ struct{ config, inputs []string }

func (d *differ) walk(path string, old, now any) {
	if reflect.DeepEqual(old, now) {
		return
	}
	if isInput(old) || isInput(now) {
		d.inputs = append(d.inputs, path)
		return
	}
	if o, ok := old.(map[string]any); ok {
		if n, ok := now.(map[string]any); ok {
			d.walkObject(path, o, n)
			return
		}
	}
	if o, ok := old.([]any); ok {
		if n, ok := now.([]any); ok && (hasObjects(o) || hasObjects(n)) {
			for i := range max(len(o), len(n)) {
				d.walk(fmt.Sprintf("%s[%d]", path, i), at(o, i), at(n, i))
			}
			return
		}
	}
	d.config = append(d.config, fmt.Sprintf("%s %s → %s", path, show(old), show(now)))
}

func (d *differ) walkObject(path string, old, now map[string]any) {
	names := map[string]bool{}
	for name := range old {
		names[name] = true
	}
	for name := range now {
		names[name] = true
	}
	for name := range names {
		below := name
		if path != "" {
			below = path + "." + name
		}
		d.walk(below, old[name], now[name])
	}
}

// isInput reports whether v is an artifact as Material writes it.
func isInput(v any) bool {
	m, ok := v.(map[string]any)
	return ok && len(m) == 2 && m["kind"] != nil && m["digest"] != nil
}

func hasObjects(list []any) bool {
	for _, v := range list {
		if _, ok := v.(map[string]any); ok {
			return true
		}
	}
	return false
}

func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func show(v any) string {
	if v == nil {
		return "(none)"
	}
	if m, ok := v.(map[string]any); ok && len(m) > 0 {
		return "{…}"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	const longest = 40
	if s := string(text); utf8.RuneCountInString(s) > longest {
		return string([]rune(s)[:longest-1]) + "…"
	}
	return string(text)
}

// diffFiles names the files that were added, removed or changed. Files that only moved are found by their content: if
// nothing but the order differs, that is said.
func diffFiles(old, now []File) []string {
	was := map[string]string{}
	for _, f := range old {
		was[f.Path] = f.Digest
	}
	is := map[string]string{}
	var out []string
	for _, f := range now {
		is[f.Path] = f.Digest
		switch digest, ok := was[f.Path]; {
		case f.Path == steps.GroupEnd:
		case !ok:
			out = append(out, name(f.Path)+" added")
		case digest != f.Digest:
			out = append(out, name(f.Path))
		}
	}
	for _, f := range old {
		if _, ok := is[f.Path]; !ok && f.Path != steps.GroupEnd {
			out = append(out, name(f.Path)+" removed")
		}
	}
	sort.Strings(out)
	if len(out) == 0 || sameContent(old, now) {
		if sameContent(old, now) {
			return nil
		}
		return []string{"read in another order"}
	}
	return out
}

// diffChildren names the children that were added or removed or that made something else.
func diffChildren(old, now []Child) []string {
	was := map[string]Child{}
	for _, c := range old {
		was[c.Name] = c
	}
	var out []string
	for _, c := range now {
		before, ok := was[c.Name]
		switch {
		case !ok:
			out = append(out, c.Name+" added")
		case !reflect.DeepEqual(before.Artifacts, c.Artifacts) || !reflect.DeepEqual(decode(before.Values), decode(c.Values)):
			out = append(out, c.Name)
		}
		delete(was, c.Name)
	}
	for _, c := range old {
		if _, gone := was[c.Name]; gone {
			out = append(out, c.Name+" removed")
		}
	}
	if len(out) == 0 && !reflect.DeepEqual(childNames(old), childNames(now)) {
		return []string{"in another order"}
	}
	return out
}

func childNames(children []Child) []string {
	var list []string
	for _, c := range children {
		list = append(list, c.Name)
	}
	return list
}

func sameContent(old, now []File) bool {
	if len(old) != len(now) {
		return false
	}
	for i := range old {
		if old[i].Digest != now[i].Digest {
			return false
		}
	}
	return true
}

func name(path string) string { return filepath.ToSlash(path) }
