package state

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Apply changes s by r. It fails, changing nothing, when r is out of order or
// names what s does not know; a journal in which that happens is damaged.
func Apply(s *Snapshot, r *Record) error {
	if r.Seq != s.Seq+1 {
		return fmt.Errorf("record %d follows %d", r.Seq, s.Seq)
	}
	f, ok := appliers[r.Kind]
	if !ok {
		return fmt.Errorf("record %d has unknown kind %q", r.Seq, r.Kind)
	}
	if err := f(s, r); err != nil {
		return fmt.Errorf("record %d (%s): %w", r.Seq, r.Kind, err)
	}
	s.Seq = r.Seq
	return nil
}

type applier func(*Snapshot, *Record) error

var appliers = map[Kind]applier{
	KindBoot:     applyBoot,
	KindRun:      applyRun,
	KindWorker:   applyWorker,
	KindForget:   applyForget,
	KindTask:     applyTask,
	KindDrop:     applyDrop,
	KindSpawn:    onWorker(applySpawn),
	KindStarted:  onInstance(applyStarted),
	KindReady:    onInstance(applyReady),
	KindExit:     onInstance(applyExit),
	KindGone:     onInstance(func(_ *Snapshot, w *Worker, _ *Record) { w.PID, w.StartTicks = 0, 0 }),
	KindFailure:  onWorker(applyFailure),
	KindRefill:   onWorker(func(_ *Snapshot, w *Worker, _ *Record) { w.BudgetUsed = 0 }),
	KindPhase:    applyPhase,
	KindEpoch:    func(s *Snapshot, r *Record) error { s.Epoch = r.Epoch; return nil },
	KindAssign:   applyAssign,
	KindSetAside: applySetAside,
	KindDone:     onWorker(applyDone),
	KindExclude:  onWorker(applyExclude),
	KindActivate: onWorker(func(_ *Snapshot, w *Worker, _ *Record) { w.Standby = false }),
	KindHold:     onWorker(applyHold),
	KindStatus:   onWorker(func(_ *Snapshot, w *Worker, r *Record) { w.Status = r.Status }),
	KindFinish:   applyFinish,
	KindBeat:     onWorker(func(_ *Snapshot, w *Worker, r *Record) { w.HeartbeatMS = r.Millis }),
	KindProgress: onWorker(applyProgress),
	KindNotice:   onWorker(func(s *Snapshot, _ *Worker, r *Record) { s.Incidents = max(s.Incidents, r.Incident) }),
}

func onWorker(f func(*Snapshot, *Worker, *Record)) applier {
	return func(s *Snapshot, r *Record) error {
		w := s.Workers[r.Worker]
		if w == nil {
			return fmt.Errorf("unknown worker %q", r.Worker)
		}
		f(s, w, r)
		return nil
	}
}

// onInstance is onWorker for records that are about one generation: a record
// of another one would be a bug in the writer.
func onInstance(f func(*Snapshot, *Worker, *Record)) applier {
	return func(s *Snapshot, r *Record) error {
		w := s.Workers[r.Worker]
		if w == nil {
			return fmt.Errorf("unknown worker %q", r.Worker)
		}
		if w.Generation != r.Gen {
			return fmt.Errorf("worker %q is at generation %d, not %d", r.Worker, w.Generation, r.Gen)
		}
		f(s, w, r)
		return nil
	}
}

func applyBoot(s *Snapshot, r *Record) error {
	if s.Volume == "" {
		s.Volume = r.Volume
	}
	s.Node = r.Node
	s.Finished = nil
	s.Boots++
	return nil
}

// applyRun forgets what the finished job had used up, and nothing else:
// generations, epoch and incident numbers go on, so that no instance or
// incident is ever named like an earlier one. The fingerprints go, so that the
// configuration is read as if it were new and a spare in use is a spare again.
func applyRun(s *Snapshot, _ *Record) error {
	s.Run++
	s.Finished = nil
	clear(s.Recovery)
	for _, w := range s.Workers {
		w.Done, w.Excluded, w.Held = false, false, false
		w.BudgetUsed, w.RestartCount, w.LastError, w.Status, w.Fingerprint = 0, 0, "", Unknown, ""
		w.AssignedTasks = []string{}
	}
	clear(s.Tasks)
	clear(s.Tracks)
	s.TaskQueue = []string{}
	return nil
}

func applyWorker(s *Snapshot, r *Record) error {
	if r.Worker == "" {
		return fmt.Errorf("no worker named")
	}
	w := s.Workers[r.Worker]
	if w == nil {
		w = &Worker{WorkerID: r.Worker, Status: Unknown, Standby: r.Standby, Fingerprint: r.Fingerprint, Generation: s.Floor}
		w.AssignedTasks = []string{}
		s.Workers[r.Worker] = w
	}
	w.Group = r.Group
	if w.Fingerprint != r.Fingerprint {
		w.Fingerprint = r.Fingerprint
		w.BudgetUsed, w.Excluded, w.Done, w.Standby = 0, false, false, r.Standby
		w.HeartbeatMS = 0
		s.offTrack(w)
	}
	return nil
}

func applyForget(s *Snapshot, r *Record) error {
	w := s.Workers[r.Worker]
	if w == nil {
		return fmt.Errorf("unknown worker %q", r.Worker)
	}
	for _, id := range slices.Clone(w.AssignedTasks) {
		s.setOwner(s.Tasks[id], "")
	}
	delete(s.Workers, r.Worker)
	delete(s.Tracks, r.Worker)
	s.Floor = max(s.Floor, w.Generation)
	return nil
}

func applyTask(s *Snapshot, r *Record) error {
	if r.Task == nil || r.Task.TaskID == "" || s.Tasks[r.Task.TaskID] != nil {
		return fmt.Errorf("task is missing or known already")
	}
	t := *r.Task
	owner := t.WorkerID
	if owner != "" && s.Workers[owner] == nil {
		return fmt.Errorf("task %q names unknown worker %q", t.TaskID, owner)
	}
	t.WorkerID, t.Status = "", TaskQueued
	s.Tasks[t.TaskID] = &t
	s.TaskQueue = append(s.TaskQueue, t.TaskID)
	s.setOwner(&t, owner)
	return nil
}

func applyDrop(s *Snapshot, r *Record) error {
	t := s.Tasks[r.TaskID]
	if t == nil {
		return fmt.Errorf("unknown task %q", r.TaskID)
	}
	s.detach(t)
	delete(s.Tasks, r.TaskID)
	return nil
}

func applySpawn(_ *Snapshot, w *Worker, r *Record) {
	w.Generation = r.Gen
	w.Status, w.Done = Starting, false
	w.PID, w.StartTicks, w.StartTime, w.ReadyTime = 0, 0, 0, 0
	if r.Retry {
		w.RestartCount++
	}
}

func applyStarted(_ *Snapshot, w *Worker, r *Record) {
	w.PID, w.StartTicks, w.StartTime = r.PID, r.Ticks, r.Seconds()
}

func applyReady(_ *Snapshot, w *Worker, r *Record) {
	w.Status, w.ReadyTime = Running, r.Seconds()
}

func applyExit(_ *Snapshot, w *Worker, r *Record) {
	w.PID, w.StartTicks = 0, 0
	w.Status = Stopped
	if !r.Expected {
		w.Status = Failed
	}
	if r.Cause != nil && !r.Expected {
		w.LastError = r.Cause.String()
	}
}

func applyFailure(s *Snapshot, w *Worker, r *Record) {
	w.BudgetUsed++
	if r.Cause != nil {
		w.LastError = r.Cause.String()
	}
	for _, id := range w.AssignedTasks {
		if r.Cause == nil || !blameless[r.Cause.Kind] {
			s.Tasks[id].Deaths++
		}
	}
	s.Incidents = max(s.Incidents, r.Incident)
	if r.Unit == "" {
		return
	}
	t := s.track(r.Unit)
	t.Step = max(t.Step, r.Step)
	if r.Count > 0 && r.Cause != nil && r.Cause.Signature != "" {
		t.Signature, t.Count = r.Cause.Signature, r.Count
	}
}

// blameless are the causes for which no task can be to blame: there was no
// process, or one that leaks whatever it works on.
var blameless = map[CauseKind]bool{CauseSpawn: true, CauseMemory: true, CauseCPU: true}

func applyProgress(s *Snapshot, w *Worker, r *Record) {
	w.BudgetUsed = 0
	if r.Unit == "" {
		return
	}
	t := s.track(r.Unit)
	t.Step = max(t.Step, r.Step)
	t.Signature, t.Count = "", 0
}

func (s *Snapshot) track(unit string) *Track {
	t := s.Tracks[unit]
	if t == nil {
		t = &Track{}
		s.Tracks[unit] = t
	}
	return t
}

// offTrack forgets how far w, and the ranks it is one of, have got.
func (s *Snapshot) offTrack(w *Worker) {
	delete(s.Tracks, w.WorkerID)
	delete(s.Tracks, RankUnit(w.Group))
}

func applyPhase(s *Snapshot, r *Record) error {
	if r.Phase == Steady {
		delete(s.Recovery, r.Group)
		return nil
	}
	rec := s.Recovery[r.Group]
	if rec == nil {
		rec = &Recovery{Since: r.Seconds()}
		s.Recovery[r.Group] = rec
	}
	rec.Phase, rec.Incident, rec.Attempt, rec.Why, rec.Code = r.Phase, r.Incident, r.Attempt, r.Why, r.Code
	rec.Culprits = append([]string{}, r.Culprits...)
	s.Incidents = max(s.Incidents, r.Incident) // the failure's own record may be lost
	return nil
}

func applyAssign(s *Snapshot, r *Record) error {
	ids := slices.Sorted(maps.Keys(r.Moves))
	for _, id := range ids {
		owner := r.Moves[id]
		if s.Tasks[id] == nil || (owner != "" && s.Workers[owner] == nil) {
			return fmt.Errorf("task %q or worker %q is unknown", id, owner)
		}
	}
	for _, id := range ids {
		s.setOwner(s.Tasks[id], r.Moves[id])
	}
	return nil
}

func applySetAside(s *Snapshot, r *Record) error {
	t := s.Tasks[r.TaskID]
	if t == nil {
		return fmt.Errorf("unknown task %q", r.TaskID)
	}
	s.detach(t)
	t.Status = TaskSetAside
	return nil
}

func applyDone(s *Snapshot, w *Worker, _ *Record) {
	w.Done, w.Status, w.LastError = true, Stopped, ""
	for _, id := range slices.Clone(w.AssignedTasks) {
		t := s.Tasks[id]
		s.detach(t)
		t.Status = TaskDone
	}
}

func applyExclude(_ *Snapshot, w *Worker, r *Record) {
	w.Excluded, w.Status = true, Failed
	if r.Why != "" {
		w.LastError = r.Why
	}
}

// applyHold holds a worker down, or releases it with a clean slate.
func applyHold(s *Snapshot, w *Worker, r *Record) {
	w.Held = r.Held
	if !r.Held {
		w.Excluded, w.Done, w.BudgetUsed = false, false, 0
		s.offTrack(w)
	}
}

func applyFinish(s *Snapshot, r *Record) error {
	s.Finished = &Finish{Code: r.Code, Why: r.Why, Time: r.Seconds()}
	return nil
}

// setOwner gives t to owner, or queues it where owner is "".
func (s *Snapshot) setOwner(t *Task, owner string) {
	s.detach(t)
	if owner == "" {
		t.Status = TaskQueued
		s.TaskQueue = append(s.TaskQueue, t.TaskID)
		return
	}
	t.WorkerID, t.Status = owner, TaskAssigned
	w := s.Workers[owner]
	w.AssignedTasks = append(w.AssignedTasks, t.TaskID)
}

// detach takes t from its owner and from the queue. The caller sets the status.
func (s *Snapshot) detach(t *Task) {
	if w := s.Workers[t.WorkerID]; w != nil {
		w.AssignedTasks = without(w.AssignedTasks, t.TaskID)
	}
	if t.Status == TaskQueued {
		s.TaskQueue = without(s.TaskQueue, t.TaskID)
	}
	t.WorkerID = ""
}

func without(list []string, id string) []string {
	if i := slices.Index(list, id); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// String is the cause in a few words: "exit code 1", "killed by SIGKILL".
func (c *Cause) String() string {
	var b strings.Builder
	switch c.Kind {
	case CauseExit:
		fmt.Fprintf(&b, "exit code %d", c.Code)
	case CauseSignal:
		fmt.Fprintf(&b, "killed by %s", c.Signal)
	case CauseSpawn:
		b.WriteString("could not be started")
	case CauseStartup:
		b.WriteString("not ready in time")
	case CauseLost:
		if c.Detail != "" {
			return c.Detail
		}
		b.WriteString("ended while ProcGuard was away")
	case CauseOperator:
		b.WriteString("reported failed")
	case CauseNoProgress:
		b.WriteString("no progress")
	case CauseMemory:
		b.WriteString("more memory than it may use")
	case CauseCPU:
		b.WriteString("more CPU than it may use")
	case CauseLog:
		b.WriteString("says in its log that it has failed")
	default:
		b.WriteString(string(c.Kind))
	}
	if c.Core {
		b.WriteString(" (core dumped)")
	}
	if c.Detail != "" {
		b.WriteString(": " + c.Detail)
	}
	return b.String()
}
