package account

import (
	"os"
	"strings"
	"testing"
)

// TestLookup goes by the accounts that every distribution has.
func TestLookup(t *testing.T) {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil || !strings.HasPrefix(string(passwd), "root:x:0:0:root:/root:") {
		t.Skipf("needs an /etc/passwd that begins with root: %v", err)
	}
	for spec, want := range map[string]struct {
		name, home string
		uid, gid   uint32
	}{
		"root":              {"root", "/root", 0, 0},
		"0":                 {"root", "/root", 0, 0},
		"0:4242":            {"root", "/root", 0, 4242},
		"root:root":         {"root", "/root", 0, 0},
		"424242":            {"424242", "/", 424242, 424242},
		"424242:root":       {"424242", "/", 424242, 0},
		"424242:17":         {"424242", "/", 424242, 17},
		"4294967295:999999": {"4294967295", "/", 4294967295, 999999},
	} {
		a, err := Lookup(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if a.Name != want.name || a.Home != want.home || a.Credential.Uid != want.uid || a.Credential.Gid != want.gid {
			t.Errorf("%s: %+v %+v, want %+v", spec, a, a.Credential, want)
		}
		if strings.Contains(spec, ":") && a.Credential.Groups != nil {
			t.Errorf("%s: supplementary groups %v beside the one asked for", spec, a.Credential.Groups)
		}
	}
}

func TestLookupNothing(t *testing.T) {
	if a, err := Lookup(""); a != nil || err != nil {
		t.Errorf("%v, %v", a, err)
	}
}

func TestLookupUnknown(t *testing.T) {
	for spec, want := range map[string]string{
		"no-such-user": `user "no-such-user" is not known here`, "-1": `user "-1"`, "4294967296": `user "4294967296"`, ":0": `user ""`,
		"0:no-such-group": `group "no-such-group" is not known here`, "0:-1": `group "-1"`,
	} {
		if a, err := Lookup(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", spec, a, err)
		}
	}
}
