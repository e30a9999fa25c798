package chat

import (
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// What the library does in another way than Python, on which templates rely: white space at the ends of strings, and JSON.

// isSpace is Python's str.isspace of one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// strips are the string methods that take white space off, and which ends they work on.
var strips = map[string]struct{ left, right bool }{"strip": {true, true}, "lstrip": {true, false}, "rstrip": {false, true}}

// otherMethods are the library's string methods that are as they should be. It does not list them itself.
var otherMethods = strings.Fields(`capitalize casefold center count encode endswith expandtabs find format isalnum isalpha
	isascii isdecimal isdigit islower isnumeric isprintable isspace istitle isupper join ljust lower partition removeprefix
	removesuffix replace rfind rjust rpartition rsplit split splitlines startswith swapcase title upper zfill`)

// stringMethods is the library's set with Python's strip, lstrip and rstrip.
func stringMethods() *exec.MethodSet[string] {
	set := map[string]exec.Method[string]{}
	for _, name := range otherMethods {
		if method, ok := builtins.Methods.Str.Get(name); ok {
			set[name] = method
		}
	}
	for name, ends := range strips {
		set[name] = func(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
			strip := isSpace
			if len(args.Args) > 0 && !args.Args[0].IsNil() {
				chars := args.Args[0].String()
				strip = func(r rune) bool { return strings.ContainsRune(chars, r) }
			}
			if ends.left {
				self = strings.TrimLeftFunc(self, strip)
			}
			if ends.right {
				self = strings.TrimRightFunc(self, strip)
			}
			return self, nil
		}
	}
	return exec.NewMethodSet(set)
}

// trim is the filter: strip of both ends.
func trim(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if !in.IsString() || len(params.Args)+len(params.KwArgs) > 0 {
		builtin, _ := builtins.Filters.Get("trim")
		return builtin(e, in, params)
	}
	return exec.AsValue(strings.TrimFunc(in.String(), isSpace))
}
