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

// aside moves a descriptor off the numbers of the standard files. Whoever started us may have
// closed those; the command must not get the queue for its input or output.
static int aside(int fd) {
	if (fd < 0 || fd > 2) return fd;
	int up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return up;
}

static int make_queue(void) {
	if (pipe2(held.pipe, O_CLOEXEC) != 0) return 0;
	for (int i = 0; i < 2; i++)
		held.pipe[i] = aside(held.pipe[i]);
	return held.pipe[0] >= 0 && held.pipe[1] >= 0 && fcntl(held.pipe[1], F_SETFL, O_NONBLOCK) == 0;
}

// leave_to_main blocks signals before the runtime reads the mask that its threads will have, so
// that they all go to the main thread, which lets them in, and keep their order. The runtime
// does not let TERM, INT, HUP and QUIT be blocked. TTOU is the one that the main thread
// blocks, see solo.
static void leave_to_main(void) {
	sigset_t set;
	sigfillset(&set);
	for (int n = 1; n <= 64; n++)
		if (its(n) || n == SIGTTOU) sigdelset(&set, n);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

// hold is called before the Go runtime starts, and so before a TERM could end us.
static void __attribute__((constructor)) hold(void) {
	if (!make_queue()) return;
	leave_to_main();
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
