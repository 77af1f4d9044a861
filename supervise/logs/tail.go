package logs

import "bytes"

// tail keeps the newest bytes of a stream. It grows with what
// it is given, so that a silent stream costs nothing.
type tail struct {
	buf []byte
	pos int // oldest byte, once buf has max bytes
	max int
}

func (t *tail) write(b []byte) {
	if len(b) > t.max {
		b = b[len(b)-t.max:]
	}
	if room := t.max - len(t.buf); room > 0 {
		n := min(room, len(b))
		t.buf = append(t.buf, b[:n]...)
		b = b[n:]
	}
	for len(b) > 0 {
		n := copy(t.buf[t.pos:], b)
		t.pos = (t.pos + n) % t.max
		b = b[n:]
	}
}

// bytes is a copy, oldest first.
func (t *tail) bytes() []byte {
	out := make([]byte, 0, len(t.buf))
	out = append(out, t.buf[t.pos:]...)
	return append(out, t.buf[:t.pos]...)
}

// lastLines cuts b to its last lines and bytes. What is left begins at a line's
// start, unless one line alone is longer than maxBytes.
func lastLines(b []byte, maxBytes, maxLines int, whole bool) []byte {
	cut := len(b) - maxBytes
	if cut > 0 {
		whole = b[cut-1] == '\n'
		b = b[cut:]
	}
	if !whole {
		if i := bytes.IndexByte(b, '\n'); i >= 0 && i+1 < len(b) {
			b = b[i+1:]
		}
	}
	end := len(b)
	if end > 0 && b[end-1] == '\n' {
		end--
	}
	for i, n := end, 0; i >= 0; n++ {
		if n == maxLines {
			return b[i+1:]
		}
		i = bytes.LastIndexByte(b[:i], '\n')
	}
	return b
}
