package probe

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/supervise/probe/notify"
	"github.com/procguard/procguard/supervise/probe/timer"
)

// inlet waits for what workers send by sockets and FIFOs, of which it has any number
// in one epoll set. That is itself waited for by the runtime's poller, so it costs one
// goroutine and no thread.
type inlet struct {
	file *os.File
	stop sync.Once
	quit chan struct{}
	over chan struct{} // the reading goroutine has ended
}

// door is one descriptor in it.
type door struct {
	w    *watch // nil: not yet
	fd   int
	key  doorKey
	path string
}

type doorKey struct {
	worker string
	timer  bool // the FIFO, not the socket
}

const (
	// roundMax is how many datagrams of one worker are read before the others have
	// their turn, and timerMax how many bytes of timers.
	roundMax = 32
	timerMax = 16 << 10
)

// OpenNotify makes the socket for the next process of a worker, whose path is for its
// environment (NOTIFY_SOCKET). Call it before the process is made; Watch begins to
// listen, so that nothing said in between is lost, and nothing that the process before
// it has said is taken for the next one's.
func (p *Prober) OpenNotify(worker string) (path string, err error) {
	fd, path, err := listenNotify(p.o.NotifyDir, worker) // which never changes
	if err != nil {
		return "", err
	}
	return path, p.prepare(&door{fd: fd, key: doorKey{worker: worker}, path: path})
}

func listenNotify(dir, worker string) (fd int, path string, err error) {
	if dir == "" {
		return -1, "", errors.New("no directory for sockets")
	}
	if path, err = notify.Path(dir, fileName(worker)); err != nil {
		return -1, "", err
	}
	fd, err = notify.Listen(path)
	return fd, path, err
}

// OpenTimer makes the FIFO for the next process of a worker, at a path that is for its
// environment (TORCHELASTIC_TIMER_FILE, with TORCHELASTIC_ENABLE_FILE_TIMER=1) and for
// Subject.FileTimer.
func (p *Prober) OpenTimer(worker, path string) error {
	fd, err := timer.Listen(path)
	if err != nil {
		return err
	}
	return p.prepare(&door{fd: fd, key: doorKey{worker, true}, path: path})
}

// prepare keeps a door until Watch comes for it.
func (p *Prober) prepare(d *door) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = unix.Close(d.fd)
		_ = unix.Unlink(d.path)
		return os.ErrClosed
	}
	if old := p.ahead[d.key]; old != nil {
		_ = unix.Close(old.fd) // its process was never made; the path is the new one's
	}
	p.ahead[d.key] = d
	return nil
}

// openDoors begins to listen to a worker. Where it was taken over, the doors of the
// earlier ProcGuard are gone, and are made anew at the same paths.
func (p *Prober) openDoors(w *watch) {
	if w.s.Notify {
		p.openDoor(w, doorKey{worker: w.s.Worker}, "workers cannot report by sd_notify", p.makeNotify)
	}
	if w.s.FileTimer != "" {
		p.openDoor(w, doorKey{w.s.Worker, true}, "workers cannot set timers", makeTimer)
	}
}

func (p *Prober) openDoor(w *watch, key doorKey, degraded string, make func(*watch) (*door, error)) {
	d := p.ahead[key]
	delete(p.ahead, key)
	var err error
	if d == nil {
		d, err = make(w)
	}
	if err == nil {
		d.w, d.key = w, key
		err = p.admit(d)
	}
	if err != nil {
		p.once(degraded, err)
	}
}

func (p *Prober) makeNotify(w *watch) (*door, error) {
	fd, path, err := listenNotify(p.o.NotifyDir, w.s.Worker)
	return &door{fd: fd, path: path}, err
}

func makeTimer(w *watch) (*door, error) {
	fd, err := timer.Listen(w.s.FileTimer)
	return &door{fd: fd, path: w.s.FileTimer}, err
}

// admit adds a door to the set; the first one starts the reading.
func (p *Prober) admit(d *door) error {
	if p.inlet == nil {
		in, err := openInlet()
		if err != nil {
			_ = unix.Close(d.fd)
			return err
		}
		p.inlet = in
		go p.receive(in)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(d.fd)}
	if err := p.inlet.add(d.fd, &ev); err != nil {
		_ = unix.Close(d.fd)
		return err
	}
	p.doors[int32(d.fd)] = d
	d.w.doors = append(d.w.doors, d)
	return nil
}

// closeDoors leaves a path alone that the worker's next process has already.
func (p *Prober) closeDoors(w *watch) {
	for _, d := range w.doors {
		delete(p.doors, int32(d.fd))
		_ = unix.Close(d.fd) // the kernel takes it out of the set
		if p.ahead[d.key] == nil {
			_ = unix.Unlink(d.path)
		}
	}
	w.doors = nil
}

func openInlet() (*inlet, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &inlet{file: os.NewFile(uintptr(fd), "epoll"), quit: make(chan struct{}), over: make(chan struct{})}, nil
}

func (in *inlet) add(fd int, ev *unix.EpollEvent) error {
	raw, err := in.file.SyscallConn()
	if err != nil {
		return err
	}
	var addErr error
	err = raw.Control(func(ep uintptr) { addErr = unix.EpollCtl(int(ep), unix.EPOLL_CTL_ADD, fd, ev) })
	return errors.Join(err, os.NewSyscallError("epoll_ctl", addErr))
}

// wait returns which descriptors can be read, os.ErrClosed at the end.
func (in *inlet) wait(events []unix.EpollEvent) (n int, err error) {
	raw, err := in.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var waitErr error
	err = raw.Read(func(ep uintptr) bool {
		n, waitErr = unix.EpollWait(int(ep), events, 0)
		return n != 0
	})
	if waitErr == unix.EINTR {
		return 0, nil
	}
	return max(n, 0), errors.Join(err, waitErr)
}

func (in *inlet) close() {
	in.stop.Do(func() {
		close(in.quit)
		_ = in.file.Close() // nothing was written
	})
}

// closeInlet ends the reading, and removes what was made for nobody.
func (p *Prober) closeInlet() {
	p.mu.Lock()
	in := p.inlet
	for _, d := range p.ahead {
		_ = unix.Close(d.fd)
		_ = unix.Unlink(d.path)
	}
	clear(p.ahead)
	p.mu.Unlock()
	if in != nil {
		in.close()
		<-in.over
	}
}

// receive reads what comes. It rests after each round: a worker that sends in a tight
// loop waits in the kernel then, and for nobody but itself.
func (p *Prober) receive(in *inlet) {
	defer close(in.over)
	buf := make([]byte, timerMax)
	events := make([]unix.EpollEvent, 64)
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		n, err := in.wait(events)
		select {
		case <-in.quit: // close makes the wait fail
			return
		default:
		}
		if err != nil {
			p.mu.Lock()
			p.once("sd_notify and timers are not heard", err)
			p.mu.Unlock()
			return
		}
		for _, ev := range events[:n] {
			p.drain(ev.Fd, buf)
		}
		rest.Reset(breather)
		select {
		case <-rest.C:
		case <-in.quit:
			return
		}
	}
}

// drain reads one door. The lock is held while its descriptor is used: it could else be
// closed, and be somebody else's.
func (p *Prober) drain(fd int32, buf []byte) {
	p.mu.Lock()
	d := p.doors[fd]
	if d == nil {
		p.mu.Unlock()
		return
	}
	if d.key.timer {
		p.feedTimer(d, buf)
		p.mu.Unlock()
		return
	}
	w, main := d.w, d.w.main
	letters := p.collect(d, buf[:notify.MaxSize+1])
	p.mu.Unlock()
	for i := range letters {
		main = p.accept(w, main, &letters[i])
	}
}

// collect takes datagrams out of a socket.
func (p *Prober) collect(d *door, buf []byte) (letters []letter) {
	for range roundMax {
		g, err := notify.Receive(d.fd, buf)
		if err != nil {
			break
		}
		if g.Oversized {
			p.counts.Oversized++
			continue
		}
		m, bad := notify.Parse(g.Data)
		p.counts.Malformed += uint64(bad)
		letters = append(letters, letter{m, g.PID, g.UID})
	}
	return letters
}
