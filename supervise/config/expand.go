package config

import (
	"fmt"
	"strings"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// maxExpansion bounds what all ${VAR} of a file may come to, in bytes.
const maxExpansion = 16 << 20

// expander replaces ${NAME} and ${NAME:-default} in text, and $$ by a dollar.
// Every other dollar is left alone.
type expander struct {
	env   func(string) (string, bool)
	spent int
}

// badExpansion is why text cannot be expanded.
type badExpansion struct{ msg, hint string }

// expand is text with its variables filled in. A value is taken as it is and
// never expanded again.
func (x *expander) expand(text string, depth int) (string, *badExpansion) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	if depth > 8 {
		return "", &badExpansion{msg: "${...} nested more than 8 deep"}
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			break
		}
		used, value, bad := x.dollar(rest, depth)
		if bad != nil {
			return "", bad
		}
		b.WriteString(value)
		text = rest[used:]
	}
	return b.String(), nil
}

// dollar expands what follows a dollar sign and says how much of it it used.
func (x *expander) dollar(rest string, depth int) (used int, value string, bad *badExpansion) {
	switch {
	case strings.HasPrefix(rest, "$"):
		return 1, "$", nil
	case !strings.HasPrefix(rest, "{"):
		return 0, "$", nil
	}
	end := closingBrace(rest)
	if end < 0 {
		return 0, "", &badExpansion{msg: "${ without its }", hint: "write $${ for a literal ${"}
	}
	value, bad = x.variable(rest[1:end], depth)
	return end + 1, value, bad
}

// closingBrace is the index of the brace that ends text, which starts with one,
// -1 without. Only ${ opens another.
func closingBrace(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '{' && (i == 0 || text[i-1] == '$'):
			depth++
		case text[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// variable resolves what stands between the braces. As in a shell, the default
// of :- also replaces an empty value.
func (x *expander) variable(body string, depth int) (string, *badExpansion) {
	name, fallback, hasDefault := strings.Cut(body, ":-")
	if !isVarName(name) {
		return "", &badExpansion{
			msg:  fmt.Sprintf("expected ${NAME} or ${NAME:-default}, got %s", dotenv.Clip("${"+body+"}")),
			hint: "write $${ for a literal ${",
		}
	}
	value, ok := x.env(name)
	x.spent += len(value)
	switch {
	case x.spent > maxExpansion:
		return "", &badExpansion{msg: fmt.Sprintf("the values of variables come to more than %d bytes", maxExpansion)}
	case hasDefault && value == "":
		return x.expand(fallback, depth+1)
	case !ok:
		return "", &badExpansion{
			msg:  fmt.Sprintf("the environment variable %s is not set", dotenv.Clip(name)),
			hint: fmt.Sprintf("give a default with ${%s:-value}, or write $${ for a literal ${", dotenv.Clip(name)),
		}
	case strings.ContainsRune(value, 0):
		return "", &badExpansion{msg: fmt.Sprintf("the value of %s contains a NUL byte", dotenv.Clip(name))}
	}
	return value, nil
}
