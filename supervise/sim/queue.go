package sim

import (
	"time"

	"github.com/procguard/procguard/supervise/fleet"
)

// deed is what a job does when its time has come.
type deed uint8

const (
	deedDeliver deed = iota // event to ProcGuard, if it is still the same one
	deedTick                // ProcGuard's timer
	deedResume              // ProcGuard has waited for the disk, or was stalled
	deedSynced              // the disk has caught up
	deedReady               // of a process: it is ready
	deedBeat                // it sends a heartbeat
	deedCrash               // it dies of a fault
	deedFinish              // its work is done
	deedHang                // it stops making progress
	deedStep                // it makes a step
	deedWord                // it says something of itself
	deedEnd                 // its leader dies, whatever else happens
	deedKids                // its children die
	deedAnswer              // it obeys the stop signal
	deedBoot                // ProcGuard starts
	deedKill                // ProcGuard dies
	deedTrouble             // something else goes wrong
	deedCommand             // the operator does something
	deedCalm                // faults end
	deedPoll                // is the world at rest?
)

// job is something that will happen.
type job struct {
	at    time.Duration
	order uint64 // equal times: first come, first served
	deed  deed
	life  int // of the ProcGuard it is for
	how   int // exit code, or minus the signal
	p     *proc
	event fleet.Event
}

// queue is a heap of jobs, the next one first. It is written out because
// container/heap would box every job.
type queue struct {
	jobs  []job
	order uint64
}

func (q *queue) push(j job) {
	q.order++
	j.order = q.order
	q.jobs = append(q.jobs, j)
	i := len(q.jobs) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !j.before(&q.jobs[up]) {
			break
		}
		q.jobs[i] = q.jobs[up]
		i = up
	}
	q.jobs[i] = j
}

func (q *queue) pop() (job, bool) {
	n := len(q.jobs) - 1
	if n < 0 {
		return job{}, false
	}
	top, last := q.jobs[0], q.jobs[n]
	q.jobs[n] = job{}
	q.jobs = q.jobs[:n]
	if n > 0 {
		q.sink(last)
	}
	return top, true
}

// sink puts j where it belongs, from the top.
func (q *queue) sink(j job) {
	i := 0
	for {
		c := 2*i + 1
		if c >= len(q.jobs) {
			break
		}
		if r := c + 1; r < len(q.jobs) && q.jobs[r].before(&q.jobs[c]) {
			c = r
		}
		if !q.jobs[c].before(&j) {
			break
		}
		q.jobs[i] = q.jobs[c]
		i = c
	}
	q.jobs[i] = j
}

func (j *job) before(k *job) bool {
	return j.at < k.at || (j.at == k.at && j.order < k.order)
}
