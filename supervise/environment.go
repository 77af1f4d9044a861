package supervise

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/procguard/procguard/reaper"
	"github.com/procguard/procguard/reaper/account"
	"github.com/procguard/procguard/supervise/config"
	"github.com/procguard/procguard/supervise/fleet"
)

// environment is ours, then the worker's own, then what ProcGuard tells it. It
// is built anew for each start, so that nothing of one start leaks into another.
func (l *loop) environment(a fleet.Spawn, w *instance, owner *account.Account) ([]string, error) {
	env := envOf(ownEnv())
	if owner != nil {
		env.set("HOME", owner.Home)
		env.set("USER", owner.Name)
		env.set("LOGNAME", owner.Name)
	}
	for _, k := range slices.Sorted(keys(w.cfg.Env)) {
		env.set(k, w.cfg.Env[k])
	}
	tasks, err := json.Marshal(a.Tasks)
	if err != nil {
		return nil, err
	}
	env.set("PROCGUARD_WORKER_ID", a.Worker)
	env.set("PROCGUARD_NODE", l.cfg.Node)
	env.set("PROCGUARD_GROUP", w.cfg.Group)
	env.set("PROCGUARD_RESTART_COUNT", strconv.Itoa(a.Restarts))
	env.set("PROCGUARD_EPOCH", strconv.FormatUint(a.Epoch, 10))
	// The kernel takes no string of more than 128 KiB; a longer list is in the file alone.
	if len(tasks) < 120<<10 || l.scratch == "" {
		env.set("PROCGUARD_TASKS", string(tasks))
	}
	if l.scratch != "" && len(l.cfg.Tasks) > 0 {
		env.set("PROCGUARD_TASKS_FILE", l.tasksPath(a.Worker))
	}
	if l.scratch != "" {
		env.set("PROCGUARD_HEARTBEAT_FILE", l.beatPath(a.Worker))
	}
	if l.endpoint != "" {
		env.set("PROCGUARD_ZMQ", l.endpoint)
	}
	l.notifySocket(&env, a.Worker, w)
	l.fileTimer(&env, a.Worker, w)
	if a.Rank != nil {
		if err := l.torch(&env, a, w.cfg); err != nil {
			return nil, err
		}
	}
	return env.list, nil
}

// notifySocket gives a worker its end of sd_notify(3), and says how often it wants to hear
// WATCHDOG=1 where the file asks for heartbeats.
func (l *loop) notifySocket(env *environ, worker string, w *instance) {
	if watched := w.cfg.Ready.Notify || w.cfg.HeartbeatTimeout != nil; l.scratch == "" || l.frugal && !watched {
		return // said at the start
	}
	path, err := l.watch.OpenNotify(worker)
	if err != nil {
		l.log.Warn("no NOTIFY_SOCKET for a worker", "worker", worker, "error", err)
		return
	}
	w.notify = true
	env.set("NOTIFY_SOCKET", path)
	if t := w.cfg.HeartbeatTimeout; t != nil && *t > 0 {
		env.set("WATCHDOG_USEC", strconv.FormatInt(t.Microseconds(), 10))
	}
}

// fileTimer gives a worker the FIFO that torch's FileTimerClient looks for.
func (l *loop) fileTimer(env *environ, worker string, w *instance) {
	if !w.cfg.FileTimer || l.scratch == "" {
		return
	}
	path := l.timerPath(worker)
	if err := l.watch.OpenTimer(worker, path); err != nil {
		l.log.Warn("no timer FIFO for a worker", "worker", worker, "error", err)
		return
	}
	w.timer = path
	env.set("TORCHELASTIC_ENABLE_FILE_TIMER", "1")
	env.set("TORCHELASTIC_TIMER_FILE", path)
}

// torch adds what torchrun gives its workers, so that a plain DDP script runs
// unchanged (torch.distributed's env:// rendezvous).
func (l *loop) torch(env *environ, a fleet.Spawn, cfg *config.Worker) error {
	port, err := l.ports.pick(a.Rank.Rendezvous)
	if err != nil {
		return fmt.Errorf("no free port for the rendezvous: %w", err)
	}
	rank, world := strconv.Itoa(a.Rank.Rank), strconv.Itoa(a.Rank.World)
	for _, kv := range [][2]string{
		{"RANK", rank}, {"LOCAL_RANK", rank}, {"WORLD_SIZE", world}, {"LOCAL_WORLD_SIZE", world},
		{"GROUP_RANK", "0"}, {"GROUP_WORLD_SIZE", "1"}, {"ROLE_RANK", rank}, {"ROLE_WORLD_SIZE", world}, {"ROLE_NAME", cfg.Type},
		{"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", strconv.Itoa(port)},
		{"TORCHELASTIC_RESTART_COUNT", strconv.Itoa(a.Restarts)}, {"TORCHELASTIC_MAX_RESTARTS", strconv.Itoa(cfg.MaxRestarts)},
		{"TORCHELASTIC_RUN_ID", l.volume}, {"TORCHELASTIC_USE_AGENT_STORE", "False"},
	} {
		env.set(kv[0], kv[1])
	}
	if l.scratch != "" {
		env.set("TORCHELASTIC_ERROR_FILE", l.errorPath(a.Worker))
	}
	// torchrun does the same: else each rank starts a thread per core.
	if _, ok := env.at["OMP_NUM_THREADS"]; !ok && a.Rank.World > 1 {
		env.set("OMP_NUM_THREADS", "1")
	}
	return nil
}

// ownEnv is our environment as workers inherit it: without what another
// ProcGuard, or systemd, whose worker we are, has told us about ourselves. The reaper knows
// what to do with that one's marker.
func ownEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		for _, about := range []string{"NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID="} {
			if strings.HasPrefix(kv, about) {
				return true
			}
		}
		return strings.HasPrefix(kv, "PROCGUARD_") && !strings.HasPrefix(kv, reaper.DefaultMarker)
	})
}

// environ is a list of variables in which a later one replaces an earlier one.
type environ struct {
	list []string
	at   map[string]int
}

func envOf(list []string) environ {
	e := environ{at: make(map[string]int, len(list)+32)}
	for _, kv := range list {
		if k, v, ok := strings.Cut(kv, "="); ok {
			e.set(k, v)
		}
	}
	return e
}

func (e *environ) set(k, v string) {
	if i, ok := e.at[k]; ok {
		e.list[i] = k + "=" + v
		return
	}
	e.at[k] = len(e.list)
	e.list = append(e.list, k+"="+v)
}

// rlimits are the names of setrlimit(2) in lower case.
var rlimits = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}
