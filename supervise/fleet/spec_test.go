package fleet

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// parseSpec reads the few words in which tests write a Spec:
//
//	recovery timeout=60s attempts=3 noauto nostopall noreassign same=3
//	worker a,b group=g type=x fp=1 max=3 delay=5s factor=2 cap=60s jitter=0.1 reset=10m
//	       grace=10s to=group restart=always ready=check|2s startup=30s hb=10s ranked standby deps=c:ready,d
//	       floor=30s (heartbeats are learned) progress=10m phases=compile:5m,eval:1h notify dump=10s
//	task t1 owner=a type=x weight=2 payload={}
//	minranks g=2
//
// What is left out has the defaults of the configuration, except that nobody
// waits to be ready.
func parseSpec(text string) (Spec, error) {
	s := Spec{Node: "n", MinRanks: map[string]int{}, Recovery: Recovery{Auto: true, StopAll: true, Reassign: true, Timeout: time.Minute, Attempts: 3}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := parseSpecLine(&s, words); err != nil {
			return s, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
	}
	return s, nil
}

func parseSpecLine(s *Spec, words []string) error {
	switch words[0] {
	case "recovery":
		return eachWord(words[1:], func(k, v string) error { return recoveryWord(&s.Recovery, k, v) })
	case "minranks":
		return eachWord(words[1:], func(k, v string) (err error) { s.MinRanks[k], err = strconv.Atoi(v); return err })
	case "worker":
		for id := range strings.SplitSeq(words[1], ",") {
			w := Worker{ID: id, Group: "default", Fingerprint: "1", MaxRestarts: 3, RestartDelay: 5 * time.Second,
				StopSignal: 15, Grace: 10 * time.Second}
			if err := eachWord(words[2:], func(k, v string) error { return workerWord(&w, k, v) }); err != nil {
				return err
			}
			s.Workers = append(s.Workers, w)
		}
		return nil
	case "task":
		for id := range strings.SplitSeq(words[1], ",") {
			t := Task{ID: id, Weight: 1}
			if err := eachWord(words[2:], func(k, v string) error { return taskWord(&t, k, v) }); err != nil {
				return err
			}
			s.Tasks = append(s.Tasks, t)
		}
		return nil
	}
	return fmt.Errorf("unknown word %q", words[0])
}

func eachWord(words []string, set func(k, v string) error) error {
	for _, word := range words {
		k, v, _ := strings.Cut(word, "=")
		if err := set(k, v); err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
	}
	return nil
}

func recoveryWord(r *Recovery, k, v string) (err error) {
	switch k {
	case "noauto":
		r.Auto = false
	case "nostopall":
		r.StopAll = false
	case "noreassign":
		r.Reassign = false
	case "timeout":
		r.Timeout, err = time.ParseDuration(v)
	case "same":
		r.SameFailures, err = strconv.Atoi(v)
	case "attempts":
		r.Attempts, err = strconv.Atoi(v)
	default:
		return fmt.Errorf("unknown")
	}
	return err
}

func taskWord(t *Task, k, v string) (err error) {
	switch k {
	case "owner":
		t.Owner = v
	case "type":
		t.Type = v
	case "weight":
		t.Weight, err = strconv.ParseFloat(v, 64)
	case "payload":
		t.Payload = json.RawMessage(v)
	default:
		return fmt.Errorf("unknown")
	}
	return err
}

func workerWord(w *Worker, k, v string) (err error) {
	switch k {
	case "group":
		w.Group = v
	case "type":
		w.Type = v
	case "entry":
		w.Entry = v
	case "least":
		w.Least, err = strconv.Atoi(v)
	case "fp":
		w.Fingerprint = v
	case "max":
		w.MaxRestarts, err = strconv.Atoi(v)
	case "restart":
		w.Restart = map[string]Policy{"always": Always, "never": Never}[v]
	case "to":
		w.StopToGroup = v == "group"
	case "ranked":
		w.Ranked = true
	case "standby":
		w.Standby = true
	case "notify":
		w.NotifyHang = true
	case "phases":
		w.Phases = parsePhases(v)
	case "deps":
		w.DependsOn = parseDeps(v)
	case "ready":
		if v == "check" {
			w.NeedsReady = true
			return nil
		}
		w.ReadyAfter, err = time.ParseDuration(v)
	case "factor":
		w.Backoff.Factor, err = strconv.ParseFloat(v, 64)
	case "jitter":
		w.Backoff.Jitter, err = strconv.ParseFloat(v, 64)
	default:
		return workerTime(w, k, v)
	}
	return err
}

func workerTime(w *Worker, k, v string) error {
	d, err := time.ParseDuration(v)
	switch k {
	case "delay":
		w.RestartDelay = d
	case "cap":
		w.Backoff.Max = d
	case "reset":
		w.Backoff.ResetAfter = d
	case "grace":
		w.Grace = d
	case "startup":
		w.StartupTimeout = d
	case "hb":
		w.HeartbeatTimeout = d
	case "floor":
		w.HeartbeatAuto, w.HeartbeatFloor = true, d
	case "progress":
		w.ProgressTimeout = d
	case "dump":
		w.DumpTimeout = d
	default:
		return fmt.Errorf("unknown")
	}
	return err
}

func parsePhases(v string) map[string]time.Duration {
	out := map[string]time.Duration{}
	for one := range strings.SplitSeq(v, ",") {
		name, d, _ := strings.Cut(one, ":")
		out[name], _ = time.ParseDuration(d)
	}
	return out
}

func parseDeps(v string) (deps []Dependency) {
	for one := range strings.SplitSeq(v, ",") {
		id, until, _ := strings.Cut(one, ":")
		u := map[string]Until{"": UntilStarted, "started": UntilStarted, "ready": UntilReady, "completed": UntilCompleted}[until]
		deps = append(deps, Dependency{Worker: id, Until: u})
	}
	return deps
}

func mustSpec(t testing.TB, text string) Spec {
	t.Helper()
	s, err := parseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSpecIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"worker a\nworker a":                    `worker "a" is defined twice`,
		"worker a group=":                       "worker 0 has no id or no group",
		"worker a deps=b":                       `worker "a" depends on unknown worker "b"`,
		"worker a deps=a":                       errCycle.Error(),
		"worker a deps=b\nworker b deps=a":      errCycle.Error(),
		"worker a\ntask t\ntask t":              `task "t" is empty or defined twice`,
		"worker a\ntask t owner=b":              `task "t" belongs to unknown worker "b"`,
		"worker a deps=b,c\nworker b,c deps=d":  `worker "b" depends on unknown worker "d"`,
		"worker a,b,c deps=d\nworker d":         "",
		"worker a deps=b,c\nworker b,c\ntask t": "",
	} {
		err := mustSpecErr(text)
		if got := fmt.Sprint(err); (want == "" && err != nil) || (want != "" && got != want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func mustSpecErr(text string) error {
	s, err := parseSpec(text)
	if err != nil {
		return err
	}
	return s.check()
}
