package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Fingerprint is a hash of all that makes the process what it is: argv,
// environment, directory, identity and limits. Two workers with the same one need
// no restart to become each other; what differs is policy that ProcGuard itself
// applies. It is stable across runs and containers, so that a volume can hold it.
func (w Worker) Fingerprint() string {
	ranks := 0
	if w.Launcher == "torch" {
		ranks = w.Replicas // WORLD_SIZE and the like
	}
	// Maps are written with sorted keys, so their order cannot show. The node is
	// left out: by default it is the host's name, which each new container of the
	// same job has another of, and its budgets must survive that.
	text, err := json.Marshal(struct {
		ID, Group, Launcher string
		Index, Ranks        int
		Command             []string
		WorkingDir, User    string
		Env                 map[string][]byte
		Umask, Nice         *int
		Rlimits             map[string]Rlimit
		CPUAffinity         []int
	}{w.ID, w.Group, w.Launcher, w.Index, ranks, exact(w.Command), w.WorkingDir, w.User,
		exactMap(w.Env), w.Umask, w.Nice, w.Rlimits, w.CPUAffinity})
	if err != nil {
		panic("config: fingerprint: " + err.Error()) // none of these types can fail
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// exact and exactMap keep bytes that are not UTF-8 apart, which JSON strings
// would all show as one replacement character.
func exact(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = hex.EncodeToString([]byte(s))
	}
	return out
}

func exactMap(m map[string]string) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = []byte(v)
	}
	return out
}
