package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// play is this program as one of those that run in a box.
func play(role string, args []string) int {
	roles := map[string]func([]string) int{
		"@box": enter, "@keeper": keep, "@between": between,
		"@exit": exit, "@after": after, "@ask": ask, "@args": showArgs, "@heed": heed, "@family": family,
		"@deaf": deaf, "@orphans": orphans, "@orphan": orphan, "@bomb": bomb, "@hold": hold, "@around": around, "@listen": listen,
		"@stay": stay, "@who": who,
	}
	f, ok := roles[role]
	if !ok {
		fmt.Fprintln(os.Stderr, "conformance: no role", role)
		return 123
	}
	return f(args)
}

func number(args []string, i int) int {
	n, _ := strconv.Atoi(args[i])
	return n
}

func exit(args []string) int { return number(args, 0) }

// after MILLISECONDS CODE exits later.
func after(args []string) int {
	time.Sleep(time.Duration(number(args, 0)) * time.Millisecond)
	return number(args, 1)
}

// ask CODE exits when a line, or the end, is read from the standard input.
func ask(args []string) int {
	fmt.Println("ready", os.Getpid())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return number(args, 0)
}

// showArgs prints its arguments as JSON.
func showArgs(args []string) int {
	_ = json.NewEncoder(os.Stdout).Encode(args)
	return 0
}

// who prints its user and directory, and the variable of the first argument.
func who(args []string) int {
	dir, _ := os.Getwd()
	fmt.Printf("who %d %d %s %s\n", os.Getuid(), os.Getgid(), dir, os.Getenv(args[0]))
	return 0
}

// heed SIGNAL prints that it came, whenever it does.
func heed(args []string) int {
	n := syscall.Signal(number(args, 0))
	c := make(chan os.Signal, 16)
	signal.Notify(c, n)
	fmt.Println("ready", os.Getpid())
	for range c {
		fmt.Println("got", int(n))
	}
	return 0
}

// family is a parent and a child in one process group; both print the signals that they get.
func family(args []string) int {
	name := "parent"
	if len(args) > 0 {
		name = args[0]
	}
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGUSR2)
	if len(args) == 0 {
		self, _ := os.Executable()
		if _, err := os.StartProcess(self, []string{self, "@family", "child"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}); err != nil {
			return stuck(err)
		}
	}
	fmt.Println("ready", name)
	for s := range c {
		fmt.Println("got", name, int(s.(syscall.Signal)))
	}
	return 0
}

// deaf ignores what a stop is made of, and prints that USR1 came.
func deaf([]string) int {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGUSR1)
	fmt.Println("ready", os.Getpid())
	for range c {
		fmt.Println("alive")
	}
	return 0
}

// hold CODE leaves a process that has its standard files, and exits.
func hold(args []string) int {
	self, _ := os.Executable()
	_, err := os.StartProcess(self, []string{self, "@stay"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return stuck(err)
	}
	return number(args, 0)
}

// stay is there until it is killed.
func stay([]string) int {
	time.Sleep(time.Hour)
	return 0
}

// orphan CODE [setsid] leaves a process that stays, says its number, and exits when it is told to.
func orphan(args []string) int {
	self, _ := os.Executable()
	p, err := os.StartProcess(self, []string{self, "@hold", "0"}, &os.ProcAttr{
		Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: len(args) > 1},
	})
	if err != nil {
		return stuck(err)
	}
	_, _ = p.Wait() // it leaves one more, whose parent is gone
	fmt.Println("orphaned")
	return ask(args)
}

// listen says what it knows of sockets that it was given.
func listen([]string) int {
	var s syscall.Stat_t
	socket := syscall.Fstat(3, &s) == nil && s.Mode&syscall.S_IFMT == syscall.S_IFSOCK
	mine := strings.TrimSpace(os.Getenv("LISTEN_PID")) == strconv.Itoa(os.Getpid())
	fmt.Println("listen", socket, mine, os.Getenv("LISTEN_FDS"))
	return 0
}
