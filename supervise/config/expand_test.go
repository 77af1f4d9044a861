package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExpand(t *testing.T) {
	vars := []string{"A", "alpha", "EMPTY", "", "N", "7", "DOLLAR", "${A} $$", "YAML", "x: [1, 2]", "B", "true"}
	x := expander{env: environ(vars...)}
	for text, want := range map[string]string{
		"":                     "",
		"plain $A $1 a$ $":     "plain $A $1 a$ $",
		"${A}":                 "alpha",
		"<${A}${N}>":           "<alpha7>",
		"$${A} $$ $$$$ $$$":    "${A} $ $$ $$",
		"${EMPTY}":             "",
		"${EMPTY:-d}":          "d",
		"${NONE:-d e}":         "d e",
		"${NONE:-}":            "",
		"${NONE:-${A}}":        "alpha",
		"${NONE:-a{b}c}":       "a{bc}",
		"${NONE:-${NO:-${N}}}": "7",
		"${A:-${NEVER_READ}}":  "alpha",
		"${DOLLAR}":            "${A} $$",
		"${NONE:-$$}":          "$",
	} {
		if got, bad := x.expand(text, 0); bad != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, bad, want)
		}
	}
	for text, want := range map[string]string{
		"${NONE}": "NONE is not set", "${": "without its }", "${A": "without its }", "${}": "expected ${NAME}", "${1}": "expected ${NAME}",
		"${A-b}": "expected ${NAME}", "${A%.*}": "expected ${NAME}", "${#A}": "expected ${NAME}", "${NONE:-${ALSO}}": "ALSO is not set",
		strings.Repeat("${X:-", 20) + strings.Repeat("}", 20): "nested",
	} {
		if got, bad := x.expand(text, 0); bad == nil || !strings.Contains(bad.msg, want) {
			t.Errorf("%s: %q, %v, want %q", text, got, bad, want)
		}
	}
}

// TestExpandedValues fills variables into fields of every kind.
func TestExpandedValues(t *testing.T) {
	vars := []string{"N", "7", "T", "true", "D", "250ms", "S", "a: [b]", "CMD", "run 'x y'", "NUL", "a\x00b", "W", "word"}
	w := worker(t, `max_restarts: ${N}
    shell: ${F:-false}
    standby: "${F:-false}"
    restart_delay: ${D}
    nice: "${N}"
    umask: ${U:-022}
    env: {A: "${S}", B: "$W", C: "$${W}", "${W}": key}
    restart: ${R:-always}
    tasks: [{task_id: "${W}", payload: {n: 0, q: "${N}", s: "${S}"}}, {task_id: t2, payload: ["$T"]}]`, vars...)
	if w.MaxRestarts != 7 || w.Standby || w.RestartDelay != 250*time.Millisecond || *w.Nice != 7 || *w.Umask != 0o22 || w.Restart != "always" {
		t.Errorf("%+v", w)
	}
	if w.Env["A"] != "a: [b]" || w.Env["B"] != "$W" || w.Env["C"] != "${W}" || w.Env["${W}"] != "key" || w.Tasks[0] != "word" {
		t.Errorf("%q %q", w.Env, w.Tasks)
	}
	cfg := mustParse(t, "workers: [{worker_id: w, command: \"${CMD}\"}]\ntasks:\n - task_id: t\n   payload:\n     plain: ${N}\n     quoted: \"${N}\"\n     text: ${S}\n     yes: ${T}\n", vars...)
	if got := cfg.Workers[0].Command; !slices.Equal(got, []string{"run", "x y"}) {
		t.Errorf("%q", got)
	}
	if got := string(cfg.Tasks[0].Payload); got != `{"plain":7,"quoted":"7","text":"a: [b]","yes":true}` {
		t.Error(got)
	}
	refused(t, "env: {A: \"${NUL}\"}", "NUL byte", vars...)
	refused(t, "max_restarts: ${W}", `got the text "${W}", which is "word"`, vars...)
	refused(t, "max_restarts: ${D}", `which is "250ms"`, vars...)
}

// TestExpansionBounded grows a small file by a large variable.
func TestExpansionBounded(t *testing.T) {
	big := strings.Repeat("x", 100<<10)
	got := mistakesIn(t, "workers: [{worker_id: w, command: \""+strings.Repeat("${BIG}", 1000)+"\"}]", "BIG", big)
	if !strings.Contains(got, "come to more than") {
		t.Error(got[:min(len(got), 200)])
	}
}
