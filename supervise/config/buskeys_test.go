package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// The pair of zmq_curve(7)'s example.
const (
	aSecret = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
	aPublic = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
)

func keysFile(keys string) string {
	return "workers: [{worker_id: w, command: x}]\ncommunication: {adapter_type: zmq, adapter_config: {host: 0.0.0.0, keys: " + keys + "}}\n"
}

func TestBusKeys(t *testing.T) {
	text := keysFile("{secret: '${KEY}', allow: {trainer-0: '" + aPublic + "', ops: {key: /ops.pub, may: [status, commands, status]}}}")
	cfg, err := Parse("x.yaml", []byte(text), environ("KEY", aSecret))
	if err != nil {
		t.Fatal(err)
	}
	k := cfg.Communication.AdapterConfig.Keys
	if k.Secret.Reveal() != aSecret || k.Allow["trainer-0"].Key != aPublic || k.Allow["ops"].Key != "/ops.pub" {
		t.Errorf("keys %v", k)
	}
	if got := fmt.Sprint(k.Allow["trainer-0"].May, k.Allow["ops"].May); got != "[node] [status commands]" {
		t.Errorf("rights %s", got)
	}
	if cfg := mustParse(t, keysFile("{secret: /s.key}")); cfg.Communication.AdapterConfig.Keys.Secret.Reveal() != "/s.key" {
		t.Error("a file")
	}
}

// TestASecretIsInNoMessage: neither a mistake nor a printed configuration shows it.
func TestASecretIsInNoMessage(t *testing.T) {
	var out bytes.Buffer
	for _, keys := range []string{
		"{secret: '" + aSecret + "'}", "{secret: '" + aSecret + "x'}", "{secret: '" + aSecret[1:] + "'}", "{secret: ['" + aSecret + "']}",
		"{secret: {'a': '" + aSecret + "'}}", "{secret: '${KEY}x'}", "{secret: '${KEY}', allow: {a: [1]}}",
	} {
		_, err := Parse("x.yaml", []byte(keysFile(keys)), environ("KEY", aSecret))
		if err == nil {
			t.Errorf("%s was accepted", keys)
		}
		fmt.Fprintf(&out, "%v\n%+v\n", err, err)
	}
	cfg, err := Parse("x.yaml", []byte(keysFile("{secret: '${KEY}'}")), environ("KEY", aSecret))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%v %+v %#v %v", cfg, *cfg, *cfg, cfg.Communication)
	doc, err := json.Marshal(cfg.Communication)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(doc)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "cfg", cfg.Communication)
	for n := 8; n <= len(aSecret); n += 8 {
		if strings.Contains(out.String(), aSecret[n-8:n]) {
			t.Fatalf("part of the secret is in:\n%s", out.String())
		}
	}
}
