package solo

import "syscall"

// event is what the machine hears of; it is one of the types below.
type event interface{ event() }

type (
	// caught is a signal sent to us.
	caught struct {
		sig    syscall.Signal
		kernel bool   // sent by the kernel: the terminal, a timer
		self   bool   // sent by ourselves
		queued bool   // by sigqueue(3), with value
		value  uint64 // passed on with it
	}
	// stopped says that the command was stopped; ours: our group is the terminal's
	// foreground group.
	stopped struct {
		sig  syscall.Signal
		ours bool
	}
	continued struct{}
	ended     struct{} // the command is dead; its number is still held
	hooked    struct{} // the pre-stop command has ended
	empty     struct{} // none of our children is left, after ended
	tick      struct{} // the deadline has come
)

func (caught) event()    {}
func (stopped) event()   {}
func (continued) event() {}
func (ended) event()     {}
func (hooked) event()    {}
func (empty) event()     {}
func (tick) event()      {}

// action is what the machine asks for, to be done in order.
type action interface{ action() }

type (
	// send a signal to the command, or to its group.
	send struct {
		sig    syscall.Signal
		group  bool
		queued bool
		value  uint64
	}
	sendRest  struct{ sig syscall.Signal } // to all that the command has left
	killAll   struct{}                     // everything but us, the command included
	hook      struct{}                     // run the pre-stop command
	killHook  struct{}
	stopSelf  struct{} // with SIGSTOP
	lend      struct{} // the terminal to the command, if it is ours to give
	takeBack  struct{} // the terminal from the command
	watchRest struct{} // reap the command, then say when nothing is left
	finish    struct{}
	say       struct {
		level int
		text  string
	}
)

func (send) action()      {}
func (sendRest) action()  {}
func (killAll) action()   {}
func (hook) action()      {}
func (killHook) action()  {}
func (stopSelf) action()  {}
func (lend) action()      {}
func (takeBack) action()  {}
func (watchRest) action() {}
func (finish) action()    {}
func (say) action()       {}
