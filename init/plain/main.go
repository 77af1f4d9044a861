package plain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper/account"
	"github.com/procguard/procguard/reaper/catch"
	"github.com/procguard/procguard/reaper/command"
	"github.com/procguard/procguard/reaper/solo"
	"github.com/procguard/procguard/supervise/config/dotenv"
)

// Main carries out a plain call and gives the exit code. ok is false where argv is
// none; nothing was done then.
func Main(argv, env []string) (code int, ok bool) {
	c, ok, err := Parse(argv, env)
	if !ok {
		return 0, false
	}
	catch.SetMask(catch.TTOU) // we may have something to say before we run anything
	var bad *Usage
	switch {
	case errors.As(err, &bad):
		(&voice{fd: 2}).say(bad.Text)
		return bad.Code, true
	case c.show != nil:
		return c.print(), true
	}
	return c.run(env, solo.Run), true
}

func (c *Call) print() int {
	if _, err := unix.Write(c.show.fd, []byte(c.show.text)); err != nil {
		return 1
	}
	return 0
}

// speech is the call's messages on their way out.
type speech struct {
	as       *persona
	most     int // the highest level that is said
	out, err voice
}

func (s *speech) log(level int, text string) {
	if level > s.most {
		return
	}
	fd, line := s.as.line(level, text)
	if fd == 1 {
		s.out.say(line)
		return
	}
	s.err.say(line)
}

func (c *Call) run(env []string, start func(solo.Options) solo.Result) int {
	s := &speech{as: c.as, most: c.verbosity, out: voice{fd: 1}, err: voice{fd: 2}}
	if bad := c.prepare(env); bad != nil {
		s.err.say(bad.Text)
		return bad.Code
	}
	c.Options.Verbose, c.Options.Log = c.verbosity, s.log
	if c.as == tini && !c.Options.Subreaper && reapsNothing() {
		s.log(1, "Tini is not running as PID 1, and is no subreaper: orphans will not come to it. -s or TINI_SUBREAPER change that.")
	}
	if c.as.shell && !c.Options.Pause {
		c.Options.Argv = asScript(c.Options.Argv, env)
	}
	return c.conclude(start(c.Options), s)
}

// prepare reads the files that flags name. The environment is ours, then the
// user's, then each file's: what comes later replaces.
func (c *Call) prepare(env []string) *Usage {
	if c.user != "" || len(c.envFiles) > 0 {
		c.Options.Env = slices.Clone(env)
	}
	if c.user != "" {
		a, err := account.Lookup(c.user)
		if err != nil {
			return &Usage{125, fmt.Sprintf("procguard: cannot run %q: %v\nhint: --user takes %s\n", strings.Join(c.Options.Argv, " "), err, accepts["USER"])}
		}
		c.Options.Credential = a.Credential
		c.setenv("HOME", a.Home)
		c.setenv("USER", a.Name)
		c.setenv("LOGNAME", a.Name)
	}
	for _, file := range c.envFiles {
		if bad := c.addFile(file); bad != nil {
			return bad
		}
	}
	return nil
}

func (c *Call) addFile(file string) *Usage {
	data, err := dotenv.Read(file)
	if err != nil {
		return ownUsage("cannot read the --env-file: "+err.Error(), "--env-file takes "+accepts["FILE"])
	}
	vars, mistakes := dotenv.Parse(data, nil)
	if len(mistakes) > 0 {
		return badFile(file, mistakes)
	}
	for _, v := range vars {
		c.setenv(v.Name, v.Value)
	}
	return nil
}

// setenv leaves one entry for a name.
func (c *Call) setenv(name, value string) {
	same := func(e string) bool { return strings.HasPrefix(e, name+"=") }
	c.Options.Env = append(slices.DeleteFunc(c.Options.Env, same), name+"="+value)
}

// badFile names every mistake, each with its line.
func badFile(file string, mistakes []dotenv.Mistake) *Usage {
	var b strings.Builder
	for _, m := range mistakes {
		at := file
		if m.Line > 0 {
			at = fmt.Sprintf("%s:%d", file, m.Line)
		}
		fmt.Fprintf(&b, "procguard: %s: %s\n", at, m.Msg)
	}
	return &Usage{2, b.String() + "hint: --env-file takes " + accepts["FILE"] + "\n"}
}

// conclude turns the result into an exit code, and says what has to be said.
func (c *Call) conclude(r solo.Result, s *speech) int {
	if r.Err != nil {
		return c.failed(r.Err, s)
	}
	if c.Options.Pause {
		return 0
	}
	code := r.Status.ExitStatus()
	if r.Status.Signaled() {
		code = 128 + int(r.Status.Signal())
	}
	level := 2
	if r.Status.Signaled() && c.as.tellsKill && !c.remap[code&255] {
		level = 0
	}
	s.log(level, c.Options.Argv[0]+" "+ending(r.Status))
	if c.remap[code&255] {
		return 0
	}
	return code
}

func ending(st syscall.WaitStatus) string {
	if !st.Signaled() {
		return fmt.Sprintf("ended with exit code %d", st.ExitStatus())
	}
	text := "killed by " + signalName(st.Signal())
	if st.CoreDump() {
		text += " (core dumped)"
	}
	return text
}

func (c *Call) failed(err error, s *speech) int {
	var e *command.Error
	if !errors.As(err, &e) {
		s.log(0, err.Error())
		return c.as.failCode
	}
	code, text := c.as.failed(e)
	s.log(0, text)
	if c.as.asCommand && c.remap[code] {
		return 0
	}
	return code
}
