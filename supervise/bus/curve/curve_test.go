package curve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The server's pair in the example of zmq_curve(7).
const (
	exampleSecret = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
	examplePublic = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
)

func TestPublicIsThatOfTheManual(t *testing.T) {
	s, err := Parse(exampleSecret)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Public(); err != nil || got != examplePublic {
		t.Errorf("public key %s, %v", got, err)
	}
}

func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		s, public, err := Generate()
		if err != nil {
			t.Fatal(err)
		}
		if derived, _ := s.Public(); derived != public || seen[public] {
			t.Fatalf("public key %s, derived %s, seen %v", public, derived, seen[public])
		}
		seen[public] = true
		for _, text := range []string{s.Reveal(), public} {
			if LooksLikePath(text) || strings.Contains(text, "$") {
				t.Errorf("an awkward key: %s", text)
			}
		}
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	s, _, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	r := Ring{Secret: s, Allow: map[string]Grant{"a": {Key: examplePublic, May: []Right{Node}}}}
	var out bytes.Buffer
	for _, v := range []any{s, &s, r, &r, []Secret{s}, map[string]Secret{"k": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	hex := fmt.Sprintf("%x", s.text)
	if strings.Contains(out.String(), s.text) || strings.Contains(out.String(), hex) {
		t.Errorf("the key is in:\n%s", out.String())
	}
	if !strings.Contains(out.String(), hidden) {
		t.Error("nothing was printed at all")
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "short": examplePublic[1:], "long": examplePublic + "0", "space": " " + examplePublic[1:],
		"quote": "\"" + examplePublic[1:], "overflow": "#####" + examplePublic[5:], "not ASCII": "é" + examplePublic[2:],
	} {
		if _, err := Decode(text); err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(text) > 10 && strings.Contains(err.Error(), text[5:]) {
			t.Errorf("%s: the error holds the text: %v", name, err)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	if err := os.WriteFile(path, []byte(examplePublic+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{path, examplePublic} {
		if got, err := Load(text); err != nil || got != examplePublic {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	const junk = "not-a-key-but-private"
	if err := os.WriteFile(path, []byte(junk), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{path, path + ".missing", "/" + examplePublic[1:]} {
		if _, err := Load(text); err == nil || strings.Contains(err.Error(), junk) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRing(t *testing.T) {
	s, public, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	_, other, _ := Generate()
	good := func() Ring {
		return Ring{Secret: s, Allow: map[string]Grant{
			"node": {public, []Right{Node}}, "tool": {other, []Right{Status, Heartbeat}},
		}}
	}
	r := good()
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name, command string
		may           bool
	}{
		{"tool", "status", true}, {"tool", "get_worker_status", true}, {"tool", "heartbeat", true}, {"tool", "stop", false},
		{"tool", "anything new", false}, {"node", "status", false}, {"node", "stop", false}, {"", "status", false}, {"nobody", "heartbeat", false},
	} {
		if err := r.Permit(c.name, c.command); (err == nil) != c.may {
			t.Errorf("%s, %s: %v", c.name, c.command, err)
		}
	}
	if name, g, ok := r.Find(other); !ok || name != "tool" || !g.Has(Node, Status) || g.Has(Commands) {
		t.Errorf("%s %v %v", name, g, ok)
	}
	for name, spoil := range map[string]func(*Ring){
		"no secret":  func(r *Ring) { r.Secret = Secret{} },
		"bad key":    func(r *Ring) { r.Allow["x"] = Grant{"short", []Right{Node}} },
		"same key":   func(r *Ring) { r.Allow["x"] = Grant{other, []Right{Node}} },
		"no rights":  func(r *Ring) { _, k, _ := Generate(); r.Allow["x"] = Grant{k, nil} },
		"empty name": func(r *Ring) { _, k, _ := Generate(); r.Allow[""] = Grant{k, []Right{Node}} },
	} {
		r := good()
		spoil(&r)
		if r.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(examplePublic)
	f.Add("#####" + examplePublic[5:])
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := Decode(text); err == nil && Encode(key) != text {
			t.Fatalf("%q became %q", text, Encode(key))
		}
	})
}
