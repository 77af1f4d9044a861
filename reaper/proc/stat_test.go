package proc

import "testing"

func TestParseStat(t *testing.T) {
	tail := " S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 11 12\n"
	for _, comm := range []string{"sh", "a b", "x) R 1 (y", ")", ""} {
		st, err := parseStat([]byte("42 (" + comm + ")" + tail))
		if err != nil || st.Comm != comm || st.State != 'S' || st.PPID != 7 || st.Group != 8 || st.Session != 9 || st.Start != 987654 {
			t.Errorf("%q: got %+v, %v", comm, st, err)
		}
	}
	for _, bad := range []string{"", "42", "42 (sh", "42 (sh) S 1 2", "42 (sh) S a b c 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654", ")("} {
		if st, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v", bad, st)
		}
	}
}
