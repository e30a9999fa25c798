package dsl

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// fileFunctions are the functions that look outside the recipe. Relative names start in the folder of the pipeline.
func fileFunctions(o Options, dir string) map[string]function.Function {
	from := o.WorkDir
	if from == "" {
		from = dir
	}
	in := func(base, name string) string {
		if filepath.IsAbs(name) {
			return filepath.Clean(name)
		}
		return filepath.Join(base, name)
	}
	return map[string]function.Function{
		"file":    disk(o, cty.String, []string{"path"}, func(a []string) (cty.Value, error) { return readFile(in(dir, a[0])) }),
		"fileset": disk(o, cty.Set(cty.String), []string{"path", "pattern"}, func(a []string) (cty.Value, error) { return fileSet(in(dir, a[0]), a[1]) }),
		"env":     envFunc(o.Env),
		"goroot":  disk(o, cty.String, nil, goRoot(o.GoRoot)),
		"abspath": pathFunc(func(p string) (string, error) { return in(from, p), nil }),
		"basename": pathFunc(func(p string) (string, error) {
			return filepath.Base(p), nil
		}),
		"dirname":    pathFunc(func(p string) (string, error) { return filepath.Dir(p), nil }),
		"pathexpand": pathFunc(expandHome(o.Env)),
	}
}

// disk is a function of strings that reads the disk; its value is unknown when the disk is to be left alone.
func disk(o Options, t cty.Type, params []string, read func(args []string) (cty.Value, error)) function.Function {
	spec := &function.Spec{
		Type: function.StaticReturnType(t),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if o.NoExpense {
				return cty.UnknownVal(t), nil
			}
			texts := make([]string, len(args))
			for i, a := range args {
				texts[i] = a.AsString()
			}
			return read(texts)
		},
	}
	for _, name := range params {
		spec.Params = append(spec.Params, function.Parameter{Name: name, Type: cty.String})
	}
	return function.New(spec)
}

func pathFunc(f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			path, err := f(args[0].AsString())
			return cty.StringVal(filepath.ToSlash(path)), err
		},
	})
}

func readFile(name string) (cty.Value, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return cty.NilVal, function.NewArgErrorf(0, "%v", err)
	}
	if !utf8.Valid(text) {
		return cty.NilVal, function.NewArgErrorf(0, "%s is not UTF-8", name)
	}
	return cty.StringVal(string(text)), nil
}

// fileSet finds the files under a folder that match a pattern with *, ** and {a,b}; their names start at the folder.
func fileSet(dir, pattern string) (cty.Value, error) {
	if !doublestar.ValidatePattern(pattern) {
		return cty.NilVal, function.NewArgErrorf(1, "%q is not a pattern: a bracket or brace is not closed", pattern)
	}
	names, err := doublestar.Glob(os.DirFS(dir), filepath.ToSlash(pattern), doublestar.WithFilesOnly())
	if err != nil {
		return cty.NilVal, fmt.Errorf("looking for %s in %s: %w", pattern, dir, err)
	}
	slices.Sort(names)
	values := make([]cty.Value, len(names))
	for i, name := range names {
		values[i] = cty.StringVal(name)
	}
	if len(values) == 0 {
		return cty.SetValEmpty(cty.String), nil
	}
	return cty.SetVal(values), nil
}

// envFunc reads an environment variable; the second argument is its value when it is not set.
func envFunc(env []string) function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			if len(args) > 2 {
				return cty.NilVal, errors.New("env takes a name and perhaps a default")
			}
			if value, ok := lookUpEnv(env, name); ok {
				return cty.StringVal(value), nil
			}
			if len(args) == 2 {
				return args[1], nil
			}
			return cty.NilVal, function.NewArgErrorf(0, "the environment variable %s is not set: set it, or give a default: env(%q, \"…\")", name, name)
		},
	})
}

func lookUpEnv(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- { // the last one counts, as in os/exec
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}

func expandHome(env []string) func(string) (string, error) {
	return func(path string) (string, error) {
		if path != "~" && !strings.HasPrefix(path, "~/") {
			return path, nil
		}
		home, ok := lookUpEnv(env, "HOME")
		if !ok {
			return "", errors.New("the home folder is not known: the environment variable HOME is not set")
		}
		return home + path[1:], nil
	}
}

// goRoot is the folder of the Go toolchain, asked for once.
func goRoot(given string) func([]string) (cty.Value, error) {
	find := sync.OnceValues(func() (string, error) {
		if given != "" {
			return given, nil
		}
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return "", fmt.Errorf("running go env GOROOT: %w. Install Go, or put it on the PATH", err)
		}
		return strings.TrimSpace(string(out)), nil
	})
	return func([]string) (cty.Value, error) {
		root, err := find()
		return cty.StringVal(filepath.ToSlash(root)), err
	}
}
