// Package incident keeps the evidence of failures for people: one folder per
// incident, incidents/NNNNNN/, below the state directory, with incident.json
// and any other files (log tails, dumps).
//
// It promises never to delay its caller: Write and Save only queue, one
// goroutine writes, and where the disk does not keep up evidence is dropped,
// counted, and the incident says so. A file is there whole or not at all. The
// oldest folders are removed beyond a limit, but not the newest one nor one
// that is still open. Nothing here is needed to recover: what must survive is
// in the journal.
//
// The caller gives incidents their numbers, rising, from the state. Folders are
// written by one process, the one that holds the journal's lock; reading needs
// no lock.
package incident
