package config

import (
	"net"
	"slices"
	"strings"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// checkEntry looks at keys of one worker that bear on each other.
func checkEntry(d *decoder, c cursor, e *entry) {
	e.Command = e.command.argv(d, e.Shell)
	d.checkReplicas(e)
	d.checkTimes(e)
	d.checkLife(e)
	if e.Launcher != "torch" {
		return
	}
	for _, name := range torchEnv {
		if _, given := e.Env[name]; given {
			d.fail(e.place("env"), "", "%s is set by `launcher: torch`", name)
		}
	}
}

func (d *decoder) checkReplicas(e *entry) {
	e.MinReplicas = e.count()
	if e.minimum == 0 {
		return
	}
	e.MinReplicas = e.minimum
	if e.minimum > e.count() {
		d.fail(e.place("min_replicas"), "", "min_replicas is %d, but there are only %d replicas", e.minimum, e.count())
	}
}

// checkTimes compares durations. The default of backoff.max gives way to a long
// restart_delay; one that was given does not.
func (d *decoder) checkTimes(e *entry) {
	if e.RestartDelay > e.Backoff.Max {
		if d.gave(e, "backoff", "max") {
			d.fail(e.place("backoff"), "", "backoff.max (%v) is shorter than restart_delay (%v)", e.Backoff.Max, e.RestartDelay)
		}
		e.Backoff.Max = e.RestartDelay
	}
	if e.Ready.After > e.StartupTimeout {
		d.fail(e.place("ready"), "", "ready.after (%v) is longer than startup_timeout (%v)", e.Ready.After, e.StartupTimeout)
	}
}

// gave tells whether a key inside a mapping of the entry was written out.
func (d *decoder) gave(e *entry, key, sub string) bool {
	for _, from := range []*entry{e, &d.root.defaults} {
		if n := from.marks[key]; n != nil && hasKey(n, sub) {
			return true
		}
	}
	return false
}

func checkReady(d *decoder, c cursor, r *Ready) {
	if given := readyChecks(r); len(given) > 1 {
		d.fail(c, "", "at most one check beside `after`, got %s", strings.Join(given, " and "))
	}
}

// readyChecks names the checks that are asked for.
func readyChecks(r *Ready) (given []string) {
	for _, check := range []struct {
		name string
		on   bool
	}{{"http", r.HTTP != ""}, {"tcp", r.TCP != ""}, {"exec", len(r.Exec) > 0}, {"log", r.Log != nil}, {"notify", r.Notify}, {"heartbeat", r.Heartbeat}} {
		if check.on {
			given = append(given, check.name)
		}
	}
	return given
}

// checkAdapter refuses a bus that strangers could command.
func checkAdapter(d *decoder, c cursor, comm *Communication) {
	a := comm.AdapterConfig
	if comm.AdapterType == "zmq" && !a.Insecure && a.Keys.Secret.IsZero() && !isLoopback(a.Host) {
		d.fail(c, "use 127.0.0.1, give `keys`, or say `insecure: true` where the network is trusted",
			"adapter_config.host %q can be reached from other machines, and there are no keys", dotenv.Clip(a.Host))
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkPidFiles refuses a file that two workers would write.
func (d *decoder) checkPidFiles(entries []*entry) {
	owner := map[string]string{}
	for _, e := range entries {
		for i := range e.count() {
			path := e.fillIn(e.PIDFile, i)
			if path == "" {
				break
			}
			if first := owner[path]; first != "" {
				d.fail(e.place("pid_file"), "put {worker_id} into it where there are `replicas`",
					"%q and %q would write the same pid_file", first, e.id(i))
				break
			}
			owner[path] = e.id(i)
		}
	}
}

// checkStandby refuses a file in which nothing would run.
func (d *decoder) checkStandby(entries []*entry) {
	if !slices.ContainsFunc(entries, func(e *entry) bool { return !e.Standby }) && len(entries) > 0 {
		d.fail(entries[0].place("standby"), "", "every worker is a standby, so nothing would run")
	}
}
