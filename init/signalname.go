package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func signalName(s os.Signal) string {
	if n, ok := s.(syscall.Signal); ok && unix.SignalName(n) != "" {
		return unix.SignalName(n)
	}
	return s.String()
}
