package main

// request is something that an init does only when asked to.
type request string

const (
	toGroup    request = "signals to the group"
	toChild    request = "signals to the child alone"
	subreaper  request = "subreaper"
	parentDies request = "parent-death signal"
	remap      request = "exit code remapped to 0"
	warnReaped request = "warn of what is reaped"
	loud       request = "verbose"
	rewrite    request = "rewrite a signal"
	grace      request = "kill after a grace period"
	preStop    request = "command before the stop"
	stopSignal request = "another stop signal"
	killAll    request = "kill what is left"
	asUser     request = "user"
	inDir      request = "directory"
	envFile    request = "environment from a file"
	pause      request = "pause"
)

// unasked marks what an init does by itself.
var unasked = []string{}

// flagOf says how each init is asked. An init that is not named cannot be.
var flagOf = map[request]map[kind][]string{
	toGroup:    {procguard: {"-g"}, tini: {"-g"}, dumbInit: unasked, catatonit: {"-g"}},
	toChild:    {procguard: unasked, tini: unasked, dumbInit: {"-c"}, catatonit: unasked, other: unasked},
	subreaper:  {procguard: {"-s"}, tini: {"-s"}, catatonit: unasked},
	parentDies: {procguard: {"-p"}, tini: {"-p"}},
	remap:      {procguard: {"-e"}, tini: {"-e"}},
	warnReaped: {procguard: {"-w"}, tini: {"-w"}},
	loud:       {procguard: {"-v", "-v"}, tini: {"-v", "-v", "-v"}, dumbInit: {"-v"}, catatonit: unasked, other: unasked},
	rewrite:    {procguard: {"--rewrite"}, dumbInit: {"-r"}},
	grace:      {procguard: {"--grace"}},
	preStop:    {procguard: {"--pre-stop"}},
	stopSignal: {procguard: {"--stop-signal"}},
	killAll:    {procguard: {"-s", "--kill-orphans"}},
	asUser:     {procguard: {"--user"}},
	inDir:      {procguard: {"--chdir"}},
	envFile:    {procguard: {"--env-file"}},
	pause:      {procguard: {"-P"}, catatonit: {"-P"}},
}

// flags are how this init is asked; it stops the row with "-" if it cannot be.
func (t *trial) flags(r request, value ...string) []string {
	f, ok := flagOf[r][t.init.kind]
	if !ok {
		panic(absent())
	}
	return append(append([]string{}, f...), value...)
}
