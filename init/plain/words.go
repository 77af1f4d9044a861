package plain

import (
	"fmt"
	"strings"
)

// words splits a command as a POSIX shell splits a simple command, and stops at
// what only a shell could carry out. A dollar sign is a plain character. It reads
// as `command:` in a configuration file does.
func words(text string) (list []string, err error) {
	var w strings.Builder
	open := false // in a word, which may be empty: ''
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case strings.IndexByte(" \t\n\r", c) >= 0:
			if open {
				list = append(list, w.String())
			}
			w.Reset()
			open = false
			continue
		case c == '#' && !open:
			i += lineEnd(text[i:]) - 1
			continue
		case strings.IndexByte("|&;<>()`", c) >= 0 || strings.HasPrefix(text[i:], "$("):
			return nil, fmt.Errorf("%q means something to a shell only", c)
		case c == '\\' && i+1 < len(text):
			if i++; text[i] == '\n' {
				continue // a continued line
			}
			w.WriteByte(text[i])
		case c == '\'' || c == '"':
			n, err := quoted(&w, text[i:])
			if err != nil {
				return nil, err
			}
			i += n - 1
		default:
			w.WriteByte(c)
		}
		open = true
	}
	if open {
		list = append(list, w.String())
	}
	return list, nil
}

func lineEnd(text string) int {
	if n := strings.IndexByte(text, '\n'); n >= 0 {
		return n
	}
	return len(text)
}

// quoted adds what stands in quotes at the start of text, and says how long it is
// with them. In double quotes only $ ` " \ and a line break lose the backslash
// before them.
func quoted(w *strings.Builder, text string) (int, error) {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == quote:
			return i + 1, nil
		case quote == '\'':
		case c == '`' || strings.HasPrefix(text[i:], "$("):
			return 0, fmt.Errorf("a command in \"%c\" means something to a shell only", c)
		case c == '\\' && i+1 < len(text) && strings.IndexByte("$`\"\\\n", text[i+1]) >= 0:
			if i++; text[i] == '\n' {
				continue
			}
			c = text[i]
		}
		w.WriteByte(c)
	}
	return 0, fmt.Errorf("a %c quote is not closed", quote)
}
