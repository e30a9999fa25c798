package dsl_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/dsl"

	"github.com/zclconf/go-cty/cty/json"
)

// evalExpr is the JSON of an expression, or the message when it has no value.
func evalExpr(t *testing.T, expr string, o dsl.Options) string {
	t.Helper()
	text := "model \"a\" { n_layer = 1 }\noutput \"x\" {\n  value = " + expr + "\n}\n"
	if err := os.WriteFile("expr.hcl", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	program, printed := load(t, "expr.hcl", o)
	if program == nil {
		return strings.Join(strings.Fields(printed), " ")
	}
	v, diags := program.Outputs[0].Eval(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if !v.IsWhollyKnown() {
		return "unknown"
	}
	out, err := json.Marshal(v, v.Type())
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestFunctions(t *testing.T) {
	write(t, map[string]string{"data/a.txt": "one\n", "data/sub/b.txt": "two", "data/c.md": "", "bad.bin": "\xff"})
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	o := dsl.Options{GoRoot: "/usr/go", Env: []string{"HOME=/home/me", "A=first", "A=last"}, WorkDir: "/work"}
	for _, test := range []struct{ expr, want string }{
		{`[abs(-1), ceil(1.2), floor(1.8), log(8, 2), max(1, 3), min(1, 3), pow(2, 10), signum(-4), parseint("ff", 16)]`, `[1,2,1,3,3,1,1024,-1,255]`},
		{`[sum([]), sum([1, 2.5]), sum(toset([1, 1, 2]))]`, `[0,3.5,3]`},
		{`sum(["a"])`, "every element must be a number"},
		{`sum(3)`, "a list or set of numbers is required"},
		{`[chomp("a\n"), format("%05.2f", 3.14159), join("-", ["a", "b"]), lower("AB"), upper("ab"), title("ab cd")]`,
			`["a","03.14","a-b","ab","AB","Ab Cd"]`},
		{`[replace("a-b", "-", "+"), strrev("abc"), substr("hello", 1, 3), trim("?a?", "?"), trimprefix("ab", "a"), trimsuffix("ab", "b"), trimspace(" a ")]`,
			`["a+b","cba","ell","a","b","a","a"]`},
		{`[split(",", "a,b"), regex("[0-9]+", "a12"), regexall("[0-9]", "a12"), formatlist("%s!", ["a"]), indent(2, "a\nb")]`,
			`[["a","b"],"12",["1","2"],["a!"],"a\n  b"]`},
		{`[startswith("abc", "ab"), endswith("abc", "ab"), strcontains("abc", "b")]`, `[true,false,true]`},
		{`sha256("")`, `"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`},
		{`[chunklist([1, 2, 3], 2), coalesce(null, 2), compact(["a", ""]), concat([1], [2]), contains([1], 1), distinct([1, 1])]`,
			`[[[1,2],[3]],2,["a"],[1,2],true,[1]]`},
		{`[element([1, 2], 3), flatten([[1], [[2]]]), index(["a", "b"], "b"), keys({ a = 1 }), values({ a = 1 })]`, `[2,[1,2],1,["a"],[1]]`},
		{`[length([1]), length("é"), length({ a = 1 }), length(toset([1]))]`, `[1,1,1,1]`},
		{`length(3)`, "a list, set, map or string is required"},
		{`index(["a"], "z")`, `the string "z" is not in the list`},
		{`[lookup({ a = 1 }, "b", 2), merge({ a = 1 }, { b = 2 }), range(3), reverse([1, 2]), slice([1, 2, 3], 1, 2), sort(["b", "a"])]`,
			`[2,{"a":1,"b":2},[0,1,2],[2,1],[2],["a","b"]]`},
		{`[setintersection([1, 2], [2]), setsubtract([1, 2], [2]), setunion([1], [2]), setproduct([1], ["a"]), zipmap(["a"], [1])]`,
			`[[2],[1],[1,2],[[1,"a"]],{"a":1}]`},
		{`[csvdecode("a,b\n1,2"), jsondecode("{\"a\": [1]}"), jsonencode({ a = 1 })]`, `[[{"a":"1","b":"2"}],{"a":[1]},"{\"a\":1}"]`},
		{`[tobool("true"), tolist([1]), tomap({ a = 1 }), tonumber("1"), toset([1, 1]), tostring(1)]`, `[true,[1],{"a":1},1,[1],"1"]`},
		{`[try({}.a, 1), can({}.a), coalescelist([], [1])]`, `[1,false,[1]]`},
		{`[file("data/a.txt"), fileset("data", "**/*.txt"), fileset("nowhere", "*")]`, `["one\n",["a.txt","sub/b.txt"],[]]`},
		{`file("none.txt")`, "no such file or directory"},
		{`file("bad.bin")`, "bad.bin is not UTF-8"},
		{`fileset("data", "[")`, "is not a pattern"},
		{`[env("A"), env("B", "none"), goroot()]`, `["last","none","/usr/go"]`},
		{`env("B")`, "the environment variable B is not set"},
		{`env("B", "x", "y")`, "env takes a name and perhaps a default"},
		{`[abspath("a/../b"), abspath("/c"), basename("a/b"), dirname("a/b"), pathexpand("~/x"), pathexpand("y")]`,
			`["/work/b","/c","b","a","/home/me/x","y"]`},
		{`[model.a.model == model.a.model]`, "unknown"},
		{`nosuch(1)`, "There is no function named \"nosuch\"."},
		{`[for k, v in { a = 1 } : "${k}=${v}"]`, `["a=1"]`},
		{`true ? { a = 1 } : { b = 2 }`, `{"a":1}`},
		{`false ? 1 : "a"`, `"a"`},
		{`true ? 1 : "a"`, `"1"`},
		{`"x" ? 1 : 2`, "What stands before the ? must be a bool; this is the string"},
		{`null ? 1 : 2`, "must be a bool; this is null"},
		{`"%{ if true }a%{ else }b%{ endif }"`, `"a"`},
		{`model.a.parameters > 1 ? nosuch.x : 2`, "nosuch.x refers to nothing"},
	} {
		if got := evalExpr(t, test.expr, o); got != test.want && !strings.Contains(got, test.want) {
			t.Errorf("%s\ngot  %s\nwant %s", test.expr, got, test.want)
		}
	}
	o.WorkDir = ""
	if got, want := evalExpr(t, `abspath("x")`, o), fmt.Sprintf("%q", filepath.Join(wd, "x")); got != want {
		t.Errorf("abspath: got %s, want %s", got, want)
	}
	o.NoExpense = true
	if got := evalExpr(t, `[file("none.txt"), goroot()]`, o); got != "unknown" {
		t.Errorf("the disk is read: %s", got)
	}
}

func TestVariables(t *testing.T) {
	const recipe = `
variable "text" { default = "default" }
variable "count" { default = 1 }
variable "list" {
  type    = list(number)
  default = []
}
variable "any" {
  type    = any
  default = null
}
variable "object" {
  type    = object({ name = string })
  default = { name = "x" }
}
model "a" { n_layer = 1 }
output "x" { value = [var.text, var.count, var.list, var.any] }
`
	write(t, map[string]string{
		"a.hcl":      recipe,
		"vars.hcl":   "text  = \"file\"\ncount = 2 + 1\n",
		"more.hcl":   "count = true ? 4 : 5\n",
		"wrong.hcl":  "cuont = 4\nlist = [\"x\"]\nblock {}\ntext = var.count\n",
		"syntax.hcl": "= =\n",
		"latin1.hcl": "text = \"\xe9\"\n",
	})
	for _, test := range []struct {
		name  string
		vars  map[string]string
		files []string
		env   []string
		want  string
	}{
		{name: "defaults", want: `["default",1,[],null]`},
		{name: "environment", env: []string{"ENGINE_VAR_text=a b", "ENGINE_VAR_count=7", "ENGINE_VAR_other=9", "text=no"}, want: `["a b",7,[],null]`},
		{name: "file before environment", env: []string{"ENGINE_VAR_text=env"}, files: []string{"vars.hcl"}, want: `["file",3,[],null]`},
		{name: "later file", files: []string{"vars.hcl", "more.hcl"}, want: `["file",4,[],null]`},
		{name: "command line first", vars: map[string]string{"text": "3", "count": "2 * 3", "list": `[1, "2"]`, "any": `{a = [1]}`},
			files: []string{"vars.hcl"}, want: `["3",6,[1,2],{"a":[1]}]`},
		{name: "undeclared", vars: map[string]string{"txt": "x"}, want: `--var sets "txt", and the pipeline declares no such variable. Did you mean "text"?`},
		{name: "undeclared in file", files: []string{"wrong.hcl"}, want: `on wrong.hcl line 1: 1: cuont = 4`},
		{name: "wrong type in file", files: []string{"wrong.hcl"}, want: "list does not fit its type list(number): at [0], a number is required."},
		{name: "block in file", files: []string{"wrong.hcl"}, want: "write block = { … }"},
		{name: "reference in file", files: []string{"wrong.hcl"}, want: "a value in a file of variables must be a constant; var.count refers"},
		{name: "syntax of file", files: []string{"syntax.hcl"}, want: "on syntax.hcl line 1"},
		{name: "file is not UTF-8", files: []string{"latin1.hcl"}, want: "on latin1.hcl line 1"},
		{name: "no file", files: []string{"none.hcl"}, want: "--var-file: There is no none.hcl."},
		{name: "not UTF-8", vars: map[string]string{"text": "\xff"}, want: "Byte 0xff on line 1"},
		{name: "not a number", vars: map[string]string{"count": "three"}, want: `count must be a number; "three" is not one.`},
		{name: "attribute missing", vars: map[string]string{"object": "{ label = 1 }"},
			want: `object does not fit its type object({name=string}): attribute "name" is required.`},
		{name: "not an expression", vars: map[string]string{"list": "[1"}, want: "list must be a list of numbers; \"[1\" is not one:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			program, got := load(t, "a.hcl", dsl.Options{Vars: test.vars, VarFiles: test.files, Env: test.env})
			if program != nil {
				v, _ := program.Outputs[0].Eval(nil)
				out, err := json.Marshal(v, v.Type())
				if err != nil {
					t.Fatal(err)
				}
				got = string(out)
			}
			if got = strings.Join(strings.Fields(got), " "); got != test.want && !strings.Contains(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	const ugly = "model   \"a\"   {\r\nn_layer=1\n  dim   =   2 # two\n\n\n}\n\n\n"
	const pretty = "model \"a\" {\n  n_layer = 1\n  dim     = 2 # two\n\n\n}\n"
	got, diags := dsl.Format([]byte(ugly), "a.hcl")
	if diags.HasErrors() || string(got) != pretty {
		t.Errorf("got %q %v, want %q", got, diags, pretty)
	}
	for _, bad := range []string{"model \"a\" {", "a = \"\xff\"", "model \"a\" { a = 1 b = 2 }"} {
		if got, diags := dsl.Format([]byte(bad), "a.hcl"); !diags.HasErrors() || string(got) != bad {
			t.Errorf("%q becomes %q", bad, got)
		}
	}
	files, _ := filepath.Glob("testdata/*/*.hcl")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		once, diags := dsl.Format(text, name)
		if diags.HasErrors() {
			continue
		}
		twice, _ := dsl.Format(once, name)
		if !bytes.Equal(once, twice) {
			t.Errorf("%s: formatting twice changes it again", name)
		}
		if strings.Contains(name, "/good/") && !bytes.Equal(text, once) {
			t.Errorf("%s is not formatted:\n%s", name, once)
		}
	}
}
