// Package linktest is the conformance test of link's carriers, and the faults it puts between them. A carrier's test
// calls [Run] with a way to open both sides.
package linktest
