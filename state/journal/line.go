package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"

	"github.com/procguard/procguard/state"
)

// A line of a segment is {"c":"xxxxxxxx","r":BODY}, BODY being one Record and
// c the CRC-32C of its bytes in hexadecimal. The first line of a segment has
// "s" for "r" and a Snapshot as its body: the base on which the records stand.
const (
	keyRecord = 'r'
	keyBase   = 's'

	lineStart = `{"c":"`
	sumLen    = 8
	headLen   = len(lineStart) + sumLen + len(`","r":`)
)

// CRC-32C, since processors compute it; as in ext4, btrfs and iSCSI (RFC 3720).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendLine(dst []byte, key byte, body []byte) []byte {
	dst = append(dst, lineStart...)
	dst = appendSum(dst, body)
	dst = append(dst, '"', ',', '"', key, '"', ':')
	dst = append(dst, body...)
	return append(dst, '}', '\n')
}

func appendSum(dst, body []byte) []byte {
	c := crc32.Checksum(body, castagnoli)
	return hex.AppendEncode(dst, []byte{byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)})
}

var (
	errShape = errors.New("not a journal line")
	errSum   = errors.New("checksum mismatch")
)

// parseLine splits a line, without its newline, and checks its sum.
func parseLine(line []byte) (key byte, body []byte, err error) {
	if len(line) <= headLen || line[len(line)-1] != '}' || !bytes.HasPrefix(line, []byte(lineStart)) {
		return 0, nil, errShape
	}
	sum := line[len(lineStart) : len(lineStart)+sumLen]
	head := line[len(lineStart)+sumLen : headLen]
	key = head[3]
	if string(head) != `","r":` && string(head) != `","s":` {
		return 0, nil, errShape
	}
	body = line[headLen : len(line)-1]
	if !bytes.Equal(sum, appendSum(make([]byte, 0, sumLen), body)) {
		return 0, nil, errSum
	}
	return key, body, nil
}

// encoder turns records into lines, using the same memory again and again.
type encoder struct {
	body bytes.Buffer
	json *json.Encoder
}

// appendRecords adds a line for each record to dst. On an error dst is
// returned as it was.
func (e *encoder) appendRecords(dst []byte, recs []state.Record) ([]byte, error) {
	out := dst
	for i := range recs {
		body, err := e.encode(&recs[i])
		if err != nil {
			return dst, err
		}
		out = appendLine(out, keyRecord, body)
	}
	return out, nil
}

func (e *encoder) encode(v any) ([]byte, error) {
	if e.json == nil {
		e.json = json.NewEncoder(&e.body)
		e.json.SetEscapeHTML(false)
	}
	e.body.Reset()
	if err := e.json.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(e.body.Bytes(), []byte{'\n'}), nil
}
