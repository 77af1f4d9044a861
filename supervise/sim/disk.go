package sim

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/procguard/procguard/state"
)

// disk is the volume: a snapshot and the records after it, of which a first
// part is known to be durable. A crash may lose any of the rest.
type disk struct {
	base     *state.Snapshot
	log      [][]state.Record // as they came: not copied, they are ours to keep
	length   int              // records in log
	durable  int              // so many of them are safe
	badUntil time.Duration    // until then nothing that is synced arrives
	wire     bool
}

// written is the Seq of the newest record that was handed over.
func (d *disk) written() uint64 { return d.base.Seq + uint64(d.length) }

// safe is the Seq of the newest record that no crash can lose.
func (d *disk) safe() uint64 { return d.base.Seq + uint64(d.durable) }

// keepLog bounds the log: what is durable beyond it moves into the snapshot.
const keepLog = 4096

// write appends records. It fails if one of them does not follow the last.
func (d *disk) write(recs []state.Record) error {
	for i := range recs {
		if recs[i].Seq != d.written()+uint64(i)+1 {
			return fmt.Errorf("record %d is written after record %d", recs[i].Seq, d.written()+uint64(i))
		}
	}
	if d.wire {
		fresh, err := rewire(&recs)
		if err != nil {
			return err
		}
		recs = fresh
	}
	d.log = append(d.log, recs)
	d.length += len(recs)
	if d.durable > keepLog {
		return d.fold(d.durable)
	}
	return nil
}

// rewire takes a value through the form that it has on disk.
func rewire[T any](from *T) (to T, err error) {
	b, err := json.Marshal(from)
	if err != nil {
		return to, err
	}
	err = json.Unmarshal(b, &to)
	return to, err
}

// fold takes the first n records into the snapshot.
func (d *disk) fold(n int) error {
	d.length -= n
	d.durable = max(0, d.durable-n)
	for n > 0 {
		part := d.log[0][:min(n, len(d.log[0]))]
		for i := range part {
			if err := state.Apply(d.base, &part[i]); err != nil {
				return err
			}
		}
		n -= len(part)
		if d.log[0] = d.log[0][len(part):]; len(d.log[0]) == 0 {
			d.log = d.log[1:]
		}
	}
	return nil
}

// each calls f for the first n records of the log.
func (d *disk) each(n int, f func(*state.Record)) {
	for _, part := range d.log {
		for i := range part[:min(n, len(part))] {
			f(&part[i])
		}
		if n -= len(part); n <= 0 {
			return
		}
	}
}

// cut is the crash: of the log only the first keep records are left.
func (d *disk) cut(keep int) error {
	if err := d.fold(keep); err != nil {
		return err
	}
	d.log, d.length, d.durable = nil, 0, 0
	if d.wire {
		fresh, err := rewire(d.base)
		if err != nil {
			return err
		}
		fresh.Normalize()
		d.base = &fresh
	}
	return nil
}
