// Package evidence collects what explains a worker's hang or death: of a living
// process tree before anything is done to it, of a dead one what remains, and
// the counters that say whether the kernel killed it.
//
// It owns no process and decides nothing. It reads /proc, the cgroup files and
// the kernel's log; commands and signals go through functions that the caller
// gives. What it found comes back as files for the incident's folder and as the
// structured part of incident.json, and Facts turns that into what package cause
// wants to know.
//
// It promises: no call takes longer than its context allows. A read of /proc that
// does not come back (a process that holds its mmap_lock in the kernel) is left
// behind with its goroutine, and there are never more than a few of those: beyond
// that such reads are skipped and the result says so. Results are bounded in size
// and number. What could not be had is named in Missing, with the reason.
// Environments are never saved, but for the values of a short list of names that
// say how a rank was set up; of command lines what looks like a secret is masked.
//
// The caller owes: a Baseline for each worker right after its start, and a Tick
// now and then (once a monitoring interval), so that an old OOM kill is not taken
// for the reason of a new death.
package evidence
