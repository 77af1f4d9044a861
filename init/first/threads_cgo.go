//go:build cgo

package first

/*
#cgo LDFLAGS: -Wl,--wrap=pthread_create
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

// The linker puts this in the place of pthread_create. The Go runtime tries 20 times to get a
// thread, then aborts and prints the processor's registers; after as many failures in a row
// this says what is wrong.
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg) {
	static int failed;
	int err = __real_pthread_create(t, a, f, arg);
	if (err != EAGAIN) {
		__atomic_store_n(&failed, 0, __ATOMIC_RELAXED);
		return err;
	}
	if (__atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED) < 20) return err;
	static const char msg[] = "procguard: cannot go on: no more threads are allowed\n"
		"hint: it takes 9 processes and threads to run a command; look at --pids-limit, pids.max and ulimit -u\n";
	(void)!write(2, msg, sizeof msg - 1);
	_exit(125);
}
*/
import "C"
