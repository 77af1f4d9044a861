// Package proc asks the kernel about processes: waitid(2) and wait4(2), and /proc/PID/stat.
//
// It is what the init and the supervisor have in common, and keeps nothing. Whoever
// reaps must be the only one to do so.
package proc
