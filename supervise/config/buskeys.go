package config

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/procguard/procguard/supervise/config/dotenv"
)

// BusKeys are the CURVE keys of the zmq adapter. Without Secret there are none.
type BusKeys struct {
	Secret Private          // this node's: the key, or the file that holds it
	Allow  map[string]Grant // by the name of the peer
}

// Grant is a peer's public key, or the file that holds it, and what it may do.
type Grant struct {
	Key string
	May []string // of busRights
}

// Private is text that no encoder, logger or fmt verb shows.
type Private struct{ text string }

const hidden = "[secret]"

// Reveal is the text itself.
func (p Private) Reveal() string { return p.text }

// IsZero tells whether there is none.
func (p Private) IsZero() bool { return p.text == "" }

// Format hides the text from fmt.
func (p Private) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText hides the text from encoders.
func (p Private) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the text from logs.
func (p Private) LogValue() slog.Value { return slog.StringValue(hidden) }

var busRights = []string{"node", "status", "heartbeat", "commands"}

func busKeysSection(grant *section[Grant]) *section[BusKeys] {
	return &section[BusKeys]{name: "communication.adapter_config.keys", effect: "CURVE keys, which `procguard keygen` makes. With them every connection is encrypted, and only those listed get in. Worth a file each: what is in ProcGuard's environment, its workers see too.",
		check: checkBusKeys, keys: []key[BusKeys]{
			{name: "secret", kind: secretKind{}, defDoc: "none: no keys", effect: "This node's secret key: the file that holds it, or `${VARIABLE}`.", example: "/run/secrets/node.key", at: func(k *BusKeys) any { return &k.Secret }},
			{name: "allow", kind: grantsKind{grant}, effect: "Who gets in, by name. A public key alone, or the file that holds it, is a node's of that name; a mapping says more. In a key each `$` is written `$$`.",
				example: "{trainer-0: /run/keys/trainer-0.pub, ops-laptop: {key: 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7', may: [status, commands]}}", at: func(k *BusKeys) any { return &k.Allow }},
		}}
}

func grantSection() *section[Grant] {
	return &section[Grant]{name: "communication.adapter_config.keys.allow{}", effect: "One peer, in the long form.", keys: []key[Grant]{
		{name: "key", kind: publicKind, required: true, effect: "Its public key, or the file that holds it.", example: "/run/keys/ops.pub", at: func(g *Grant) any { return &g.Key }},
		{name: "may", kind: rightsKind{}, defDoc: "`[node]`", effect: "Its rights: `node` (be the node of that name), `status` (ask, and hear events), `heartbeat` (for any worker), `commands` (start, stop, restart).", example: "[status, heartbeat]", at: func(g *Grant) any { return &g.May }},
	}}
}

// keyLen is the length of a CURVE key as text; zAlphabet is what it consists of (Z85, ZeroMQ RFC 32).
const (
	keyLen    = 40
	zAlphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)

// isKey tells a key from the name of a file, as package curve does.
func isKey(s string) bool {
	return len(s) == keyLen && s[0] != '/' && s[0] != '.' && strings.Trim(s, zAlphabet) == ""
}

// keyOrFile refuses what is most likely a key that lost a character.
func keyOrFile(s string) (hint string, ok bool) {
	if strings.TrimSpace(s) == "" {
		return "", false
	}
	if !isKey(s) && strings.ContainsAny(s, "<>{}*?!&%$#^") && s[0] != '/' && s[0] != '.' {
		return "a key has 40 characters; put it in single quotes, and write each $ in it as $$", false
	}
	return "", true
}

var publicKind = textKind("a public key or a file", keyOrFile)

// secretKind is text that no message repeats, and that is not written into the file as it is.
type secretKind struct{}

const secretWant = "a file with a secret key, or ${VARIABLE} for one in the environment"

func (secretKind) label() string  { return "string" }
func (secretKind) schema() schema { return schema{"type": "string"} }

func (secretKind) decode(d *decoder, c cursor, dst any) {
	s, ok := d.scalar(cursor{c.node, c.path}, secretWant)
	if !ok {
		return
	}
	switch hint, good := keyOrFile(s.text); {
	case isKey(s.text) && !s.expanded:
		d.fail(c, "put it into a file that only ProcGuard can read, or into an environment variable", "the secret key itself is written here")
	case !good:
		d.fail(c, hint, "expected %s", secretWant)
	default:
		*dst.(*Private) = Private{s.text}
	}
}

type rightsKind struct{}

func (rightsKind) label() string  { return "list" }
func (rightsKind) schema() schema { return list(enum(busRights...).schema()) }

func (rightsKind) decode(d *decoder, c cursor, dst any) {
	may := []string{}
	items := d.items(c, "a list of rights")
	for _, item := range items {
		right := ""
		enum(busRights...).decode(d, item, &right)
		if right != "" && !slices.Contains(may, right) {
			may = append(may, right)
		}
	}
	if len(items) == 0 {
		d.fail(c, "leave the key out of `allow`", "no rights")
	}
	*dst.(*[]string) = may
}

// grantsKind is a mapping of names to keys, or to mappings with a key.
type grantsKind struct{ grant *section[Grant] }

func (grantsKind) label() string { return "mapping" }
func (k grantsKind) schema() schema {
	return mapOf(either(schema{"type": "string"}, k.grant.schema()))
}

var peerName = nameKind("the name of a node or tool")

func (k grantsKind) decode(d *decoder, c cursor, dst any) {
	all := map[string]Grant{}
	for _, p := range d.pairs(c) {
		at, g := c.key(dotenv.Clip(p.name), p.value), Grant{}
		if _, _, ok := peerName.parse(scalar{text: p.name, tag: "!!str"}); !ok {
			d.fail(cursor{p.key, at.path}, "", "expected %s", peerName.want)
			continue
		}
		if len(at.target().Content) > 0 {
			k.grant.fill(d, at, &g)
		} else {
			publicKind.decode(d, at, &g.Key)
		}
		if g.May == nil {
			g.May = []string{"node"}
		}
		all[p.name] = g
	}
	*dst.(*map[string]Grant) = all
}

// checkBusKeys refuses keys that could let nobody in, or two names for one key.
func checkBusKeys(d *decoder, c cursor, k *BusKeys) {
	if k.Secret.IsZero() && len(k.Allow) > 0 && len(d.bad.list) == 0 {
		d.fail(c, "make one with `procguard keygen`", "`allow` has no use without a `secret` of this node")
	}
	owner := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(k.Allow)) {
		key := k.Allow[name].Key
		if first, taken := owner[key]; taken && key != "" {
			d.fail(c, "make a key for each", "%q and %q have the same key", first, name)
		}
		owner[key] = name
	}
}
