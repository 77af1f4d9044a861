// Package command finds the file that a command line stands for, as execvp(3) would, and
// says in words why a command could not be started.
//
// It forks nothing, and keeps nothing: the init and the supervisor share it, and
// the init is to be small.
package command
