package plain

import (
	"fmt"
	"strings"
)

// option is one flag of a command line.
type option struct {
	long  string
	short byte   // 0: none
	arg   string // what its value is called, "" if it takes none
	help  string
	set   func(c *Call, value string) error
}

// given is an option as it was found.
type given struct {
	*option
	name  string // as it was written: --grace or -p
	value string
}

// syntax says how getopt_long(3) is asked to read.
type syntax struct {
	options []option
	longs   bool // --long options are known at all
	abbrev  bool // --lo means --long where that is clear
}

// misuse is an option that cannot be read. Its text is the C library's.
type misuse struct {
	unknown bool
	text    string
}

func (m *misuse) Error() string { return m.text }

// scanned is what a command line begins with, and what is left of it.
type scanned struct {
	found  []given
	rest   []string
	closed bool // by --
}

// scan reads options up to the first word that is none, or `--`, as getopt_long(3)
// does with a + in front. The error is a *misuse; what stands before it was found.
func (s *syntax) scan(args []string) (scanned, error) {
	var found []given
	for len(args) > 0 {
		word := args[0]
		switch {
		case word == "--":
			return scanned{found, args[1:], true}, nil
		case !isOption(word):
			return scanned{found, args, false}, nil
		}
		read := s.cluster
		if s.longs && word[1] == '-' {
			read = s.long
		}
		more, rest, err := read(strings.TrimPrefix(word, "-"), args[1:])
		if found, args = append(found, more...), rest; err != nil {
			return scanned{found: found}, err
		}
	}
	return scanned{found: found}, nil
}

// isOption: a lone - is a word like any other.
func isOption(word string) bool { return len(word) > 1 && word[0] == '-' }

// cluster reads -abc, or -abVALUE, or -ab VALUE.
func (s *syntax) cluster(letters string, args []string) (found []given, rest []string, err error) {
	for i := range len(letters) {
		o := s.letter(letters[i])
		if o == nil {
			return found, args, &misuse{true, fmt.Sprintf("invalid option -- '%c'", letters[i])}
		}
		g := given{option: o, name: "-" + letters[i:i+1]}
		switch {
		case o.arg == "":
			found = append(found, g)
			continue
		case i+1 < len(letters):
			g.value = letters[i+1:]
		case len(args) == 0:
			return found, args, &misuse{false, fmt.Sprintf("option requires an argument -- '%c'", letters[i])}
		default:
			g.value, args = args[0], args[1:]
		}
		return append(found, g), args, nil
	}
	return found, args, nil
}

func (s *syntax) letter(c byte) *option {
	for i := range s.options {
		if s.options[i].short == c {
			return &s.options[i]
		}
	}
	return nil
}

// long reads -name, -name=value or -name value, one dash being gone.
func (s *syntax) long(text string, args []string) (found []given, rest []string, err error) {
	name, value, attached := strings.Cut(text[1:], "=")
	o, err := s.find(name, text)
	if err != nil {
		return nil, args, err
	}
	switch {
	case o.arg == "" && attached:
		err = &misuse{false, fmt.Sprintf("option '--%s' doesn't allow an argument", o.long)}
	case o.arg != "" && !attached && len(args) == 0:
		err = &misuse{false, fmt.Sprintf("option '--%s' requires an argument", o.long)}
	case o.arg != "" && !attached:
		value, args = args[0], args[1:]
	}
	if err != nil {
		return nil, args, err
	}
	return []given{{o, "--" + o.long, value}}, args, nil
}

// find takes a whole name, or the beginning of one name only.
func (s *syntax) find(name, written string) (*option, error) {
	var like []*option
	for i := range s.options {
		o := &s.options[i]
		switch {
		case o.long == "":
		case o.long == name:
			return o, nil
		case s.abbrev && strings.HasPrefix(o.long, name):
			like = append(like, o)
		}
	}
	switch len(like) {
	case 1:
		return like[0], nil
	case 0:
		return nil, &misuse{true, fmt.Sprintf("unrecognized option '-%s'", written)}
	}
	text := fmt.Sprintf("option '-%s' is ambiguous; possibilities:", written)
	for _, o := range like {
		text += " '--" + o.long + "'"
	}
	return nil, &misuse{false, text}
}
