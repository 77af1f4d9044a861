package curve

import (
	"errors"
	"fmt"
	"strings"
)

// alphabet is that of Z85, ZeroMQ RFC 32.
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

// TextLen is the length of a key as text: 32 bytes, five characters for four bytes.
const TextLen = 40

const keyLen = 32

// Encode writes 32 bytes as text.
func Encode(key [keyLen]byte) string {
	var b strings.Builder
	for i := 0; i < keyLen; i += 4 {
		v := uint32(key[i])<<24 | uint32(key[i+1])<<16 | uint32(key[i+2])<<8 | uint32(key[i+3])
		for div := uint32(85 * 85 * 85 * 85); div > 0; div /= 85 {
			b.WriteByte(alphabet[v/div%85])
		}
	}
	return b.String()
}

// Decode reads a key. The error never holds the text, which may be a secret.
func Decode(text string) (key [keyLen]byte, err error) {
	if len(text) != TextLen {
		return key, fmt.Errorf("a key has %d characters, this has %d", TextLen, len(text))
	}
	for g := range keyLen / 4 {
		v := uint64(0)
		for _, c := range []byte(text[g*5 : g*5+5]) {
			at := strings.IndexByte(alphabet, c)
			if at < 0 {
				return [keyLen]byte{}, errors.New("a character is not of Z85's alphabet")
			}
			v = v*85 + uint64(at)
		}
		if v > 1<<32-1 {
			return [keyLen]byte{}, errors.New("five characters stand for more than four bytes")
		}
		key[g*4], key[g*4+1], key[g*4+2], key[g*4+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
	}
	return key, nil
}
