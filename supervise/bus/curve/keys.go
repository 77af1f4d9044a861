package curve

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Secret is a secret key. Use [Secret.Reveal] where ZeroMQ needs it, and nowhere else.
type Secret struct{ text string }

const hidden = "[secret]"

// String hides the key.
func (Secret) String() string { return hidden }

// GoString hides the key from %#v.
func (Secret) GoString() string { return hidden }

// Format hides the key from every verb, %d and %x included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText hides the key from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the key from logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// Reveal is the key as text.
func (s Secret) Reveal() string { return s.text }

// IsZero tells whether there is no key.
func (s Secret) IsZero() bool { return s.text == "" }

// Parse reads a secret key from text.
func Parse(text string) (Secret, error) {
	if _, err := Decode(text); err != nil {
		return Secret{}, err
	}
	return Secret{text}, nil
}

// Public is the public key that belongs to s, as text.
func (s Secret) Public() (string, error) {
	raw, err := Decode(s.text)
	if err != nil {
		return "", err
	}
	private, err := ecdh.X25519().NewPrivateKey(raw[:])
	if err != nil {
		return "", errors.New("not a secret key")
	}
	return Encode([keyLen]byte(private.PublicKey().Bytes())), nil
}

// Generate makes a key pair. Neither text has a dollar sign, which shells and ProcGuard's configuration expand, nor
// starts like a path; that leaves more than 250 of the 256 bits to chance.
func Generate() (secret Secret, public string, err error) {
	for {
		var raw [keyLen]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return Secret{}, "", err
		}
		secret = Secret{Encode(raw)}
		if public, err = secret.Public(); err != nil {
			return Secret{}, "", err
		}
		if plain(secret.text) && plain(public) {
			return secret, public, nil
		}
	}
}

func plain(text string) bool { return !strings.Contains(text, "$") && !LooksLikePath(text) }

// LooksLikePath tells how a text that may be a key or the name of a file with a key in it is meant: it is a key if it
// has the length of one, only Z85's characters, and does not start with a slash or a dot.
func LooksLikePath(text string) bool {
	if len(text) != TextLen || text[0] == '/' || text[0] == '.' {
		return true
	}
	return strings.Trim(text, alphabet) != ""
}

// maxFile is more than any key file has, in bytes.
const maxFile = 4096

// ReadFile reads the key in a file that [procguard keygen] or zmq_curve_keypair wrote: one line. The error names the
// file and never what is in it.
func ReadFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read a key: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return "", fmt.Errorf("cannot read a key: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if _, err := Decode(text); err != nil {
		return "", fmt.Errorf("%s holds no key: %w", path, err)
	}
	return text, nil
}

// Load is the key that text stands for: itself, or in the file of that name.
func Load(text string) (string, error) {
	if LooksLikePath(text) {
		return ReadFile(text)
	}
	_, err := Decode(text)
	return text, err
}
