// Package e2e runs ProcGuard in real containers, as PID 1 mostly.
//
// Its tests need the build tag e2e, a docker engine with the image
// debian:bookworm, and the static binary that $PROCGUARD names. Containers are
// called procguard-e2e-PID-NAME and removed in the end.
package e2e
