package plain

import (
	"strings"

	"github.com/procguard/procguard/reaper/solo"
)

// Version is ours, for `--version` under the other names. The caller sets it.
var Version = "dev"

// Call is one command line, understood.
type Call struct {
	Options solo.Options

	as        *persona
	argv0     string
	verbosity int       // the highest level that is said, see solo.Options.Log
	remap     [256]bool // exit codes that become 0
	user      string
	envFiles  []string
	show      *show // instead of running anything
}

// show is what a flag such as --version asks for.
type show struct {
	fd   int
	text string
}

// Usage is a command line that was not understood: what to say on standard error,
// as it stands, and the exit code.
type Usage struct {
	Code int
	Text string
}

func (u *Usage) Error() string { return strings.TrimSpace(u.Text) }

// Parse says whether argv, the whole of os.Args, calls a plain init. If so it gives
// the call, or else a [*Usage]; if not, all is nil.
func Parse(argv, env []string) (*Call, bool, error) {
	if len(argv) == 0 {
		return nil, false, nil
	}
	p := personaOf(argv[0])
	s, err := p.scan(argv[1:])
	if p == own && (len(argv) == 1 || IsVerb(argv[1]) || isUnknown(err)) {
		return nil, false, nil
	}
	c := &Call{as: p, argv0: argv[0]}
	if p.alone && len(argv) == 2 && argv[1] == "--version" {
		return c, true, tellVersion(c, "")
	}
	if err := p.fill(c, s, err, env); err != nil {
		return nil, true, err
	}
	return c, true, nil
}

func isUnknown(err error) bool {
	m, ok := err.(*misuse)
	return ok && m.unknown
}

// IsVerb says whether word, in the first place, is for the rest of the program.
func IsVerb(word string) bool {
	switch word {
	case "check", "status", "incidents", "version", "schema", "keygen", "help", "completion", "__complete", "__completeNoDesc":
		return true
	}
	return false
}

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// getenv is getenv(3): the first of several entries counts.
func getenv(env []string, key string) (string, bool) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, key+"="); ok {
			return v, true
		}
	}
	return "", false
}
