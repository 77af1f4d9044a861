//go:build cgo && !race

package early

/*
#cgo LDFLAGS: -Wl,--wrap=sigaction
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

int pipe2(int *, int);
int __real_sigaction(int, const struct sigaction *, struct sigaction *);

static struct {
	int on;
	int pipe[2];
	char has[65];                 // signals that hold keeps
	struct sigaction runtime[65]; // what the Go runtime wanted for them
} held = {0, {-1, -1}};

static void keep(int n, siginfo_t *info, void *context) {
	int was = errno;
	(void)!write(held.pipe[1], info, 32);
	errno = was;
}

// Those that are about the program itself are the runtime's from the beginning.
static int its(int n) {
	switch (n) {
	case SIGILL: case SIGTRAP: case SIGABRT: case SIGBUS: case SIGFPE: case SIGSEGV: case SIGSYS:
	case SIGKILL: case SIGSTOP: case SIGCHLD: case SIGURG: case SIGPROF:
		return 1;
	}
	return 0;
}

// hold is called before the Go runtime starts, and so before a TERM could end us.
static void __attribute__((constructor)) hold(void) {
	if (pipe2(held.pipe, O_CLOEXEC) != 0 || fcntl(held.pipe[1], F_SETFL, O_NONBLOCK) != 0) return;
	struct sigaction act, old;
	memset(&act, 0, sizeof act);
	act.sa_sigaction = keep;
	act.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigfillset(&act.sa_mask);
	for (int n = 1; n <= 64; n++) {
		// The runtime has to see that nohup ignores HUP.
		if (its(n) || __real_sigaction(n, NULL, &old) != 0 || old.sa_handler == SIG_IGN) continue;
		held.has[n] = __real_sigaction(n, &act, NULL) == 0;
	}
	held.on = 1;
}

// The linker puts this in the place of sigaction, with which the runtime installs its own
// handlers. It gets to do so when release is called.
int __wrap_sigaction(int n, const struct sigaction *act, struct sigaction *old) {
	if (!held.on || n < 1 || n > 64 || !held.has[n]) return __real_sigaction(n, act, old);
	if (old) *old = held.runtime[n];
	if (act) held.runtime[n] = *act;
	return 0;
}

static int end(int which) { return held.on ? held.pipe[which] : -1; }

static void release(void) {
	held.on = 0;
	for (int n = 1; n <= 64; n++)
		if (held.has[n]) __real_sigaction(n, &held.runtime[n], NULL);
}
*/
import "C"

import "github.com/procguard/procguard/reaper/catch"

// useHeld has the queue begin with what came before Go code ran.
func useHeld() {
	if r := C.end(0); r >= 0 {
		catch.Use(int(r), int(C.end(1)))
	}
}

func release() { C.release() }
