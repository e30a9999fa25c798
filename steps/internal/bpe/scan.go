package bpe

// A rule cuts text into the pieces that merges never cross. each calls yield for every piece of s, in order and without
// gaps.
type rule interface {
	each(s string, yield func(piece string))
}

// wordRule is the rule of Llama 3, of cl100k and of Qwen 2, which differ in two places. As regular expression, with
// digits = 3 and endRun = false (the alternatives are tried in this order):
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)      contraction
//	|[^\r\n\p{L}\p{N}]?\p{L}+         word, with one character before it
//	|\p{N}{1,3}                       number
//	| ?[^\s\p{L}\p{N}]+[\r\n]*        punctuation, with a space before and line ends after it
//	|\s*[\r\n]+                       white space up to the last line end
//	|\s+(?!\S)                        white space but the last character, which goes with the next word
//	|\s+
type wordRule struct {
	digits int  // longest run of digits: 3, or 1 for Qwen
	endRun bool // cl100k: white space at the end of the text stays whole (\s+\z before \s*[\r\n]+)
}

func (w wordRule) each(s string, yield func(piece string)) {
	for i := 0; i < len(s); {
		end := w.next(s, i)
		yield(s[i:end])
		i = end
	}
}

// next returns the end of the piece that begins at i, which is less than len(s).
func (w wordRule) next(s string, i int) int {
	k, n := classes.ascii[s[i]], 1 // classes.at by hand: a call here is a tenth of all the time
	if k == multi {
		k, n = classes.decode(s[i:])
	}
	switch k {
	case letter:
		return skip(s, i+n, letter)
	case number:
		return skipDigits(s, i+n, w.digits-1)
	case other:
		if s[i] == '\'' {
			if end := contraction(s, i+1, true); end > 0 {
				return end
			}
		}
	}
	if k != newline && i+n < len(s) {
		k2, n2 := classes.ascii[s[i+n]], 1
		if k2 == multi {
			k2, n2 = classes.decode(s[i+n:])
		}
		switch {
		case k2 == letter:
			return skip(s, i+n+n2, letter)
		case k2 == other && (k == other || s[i] == ' '):
			return skip(s, skip(s, i+n+n2, other), newline)
		}
	}
	if k == other {
		return skip(s, i+n, newline)
	}
	end, lastLine, beforeLast := spaceRun(s, i)
	switch {
	case end == len(s) && w.endRun:
		return end
	case lastLine > 0:
		return lastLine
	case end == len(s) || beforeLast == i:
		return end
	}
	return beforeLast
}

// gpt2Rule is GPT-2's:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
type gpt2Rule struct{}

func (g gpt2Rule) each(s string, yield func(piece string)) {
	for i := 0; i < len(s); {
		end := g.next(s, i)
		yield(s[i:end])
		i = end
	}
}

// next returns the end of the piece that begins at i, which is less than len(s).
func (gpt2Rule) next(s string, i int) int {
	k, n := classes.at(s, i)
	if s[i] == '\'' {
		if end := contraction(s, i+1, false); end > 0 {
			return end
		}
	}
	if s[i] == ' ' && i+1 < len(s) {
		if k2, n2 := classes.at(s, i+1); k2 < space {
			return skip(s, i+1+n2, k2)
		}
	}
	if k < space {
		return skip(s, i+n, k)
	}
	end, _, beforeLast := spaceRun(s, i)
	if end == len(s) || beforeLast == i {
		return end
	}
	return beforeLast
}

// skip returns the first place from i on whose class is not k.
func skip(s string, i int, k class) int {
	ascii := &classes.ascii
	for {
		for i < len(s) && ascii[s[i]] == k {
			i++
		}
		if i >= len(s) || ascii[s[i]] != multi {
			return i
		}
		c, n := classes.at(s, i)
		if c != k {
			return i
		}
		i += n
	}
}

// skipDigits skips at most limit numbers.
func skipDigits(s string, i, limit int) int {
	for ; limit > 0 && i < len(s); limit-- {
		k, n := classes.at(s, i)
		if k != number {
			break
		}
		i += n
	}
	return i
}

// spaceRun looks at the white space that begins at i. It returns where it ends, where its last line end ends (0 without
// one), and where its last character begins.
func spaceRun(s string, i int) (end, lastLine, beforeLast int) {
	end = i
	for end < len(s) {
		k, n := classes.at(s, end)
		if k < space {
			break
		}
		beforeLast = end
		end += n
		if k == newline {
			lastLine = end
		}
	}
	return end, lastLine, beforeLast
}

// contraction returns the end of s t re ve m ll d at s[i:], or 0. With fold their case does not matter, and as Unicode
// folds it the long s (U+017F) is an s too.
func contraction(s string, i int, fold bool) int {
	if i >= len(s) {
		return 0
	}
	low := func(c byte) byte {
		if fold && 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	var second byte
	switch low(s[i]) {
	case 's', 't', 'm', 'd':
		return i + 1
	case 'r', 'v':
		second = 'e'
	case 'l':
		second = 'l'
	case 0xc5:
		if fold && i+1 < len(s) && s[i+1] == 0xbf {
			return i + 2
		}
		return 0
	default:
		return 0
	}
	if i+1 < len(s) && low(s[i+1]) == second {
		return i + 2
	}
	return 0
}
