package reaper

import "testing"

// Survey of a worker with ten children: eleven lists to read.
func BenchmarkSurvey(b *testing.B) {
	r := benchReaper(b, nil)
	p, err := r.Spawn(Spec{Instance: "bench", Argv: []string{"/bin/sh", "-c",
		"for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done; wait"}})
	if err != nil {
		b.Fatal(err)
	}
	for r.Survey(p) < 10 {
	}
	for b.Loop() {
		r.Survey(p)
	}
	_ = r.Kill(p)
	for r.Stats().Pending+r.Stats().Live > 0 {
	}
}
