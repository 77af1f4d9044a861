// Package slate looks, before a restart, whether the dead have left the slate clean: that
// none of them is alive, the rendezvous port can be bound, the memory of the GPUs is
// released, and no segment of shared memory is left that only they had open.
//
// # What it promises
//
//   - [Clean] ends when its context does, and is patient for [Plan.Patience] at most with each thing, but for a read of /proc
//     that hangs. What it saw until then is in the [Report], in words for an incident.
//   - It changes nothing but this: with [Shm.Remove] it unlinks segments in /dev/shm whose
//     names are those of a known library, that the dead have made as far as names,
//     owner and times tell, and that no living process has open or mapped. In doubt a
//     segment stays, and the report says why.
//   - A dead process whose pid is another's by now is not confused with it.
//
// # What the caller owes
//
//   - A goroutine: Clean waits.
//   - The dead with their start times. Without one a living process with that pid counts as
//     the dead one.
//   - Not to ask for removal where /dev/shm is shared with processes of other pid namespaces
//     that it cannot see. "--ipc=host" is recognised; a volume that several containers
//     of a pod mount there is not.
//
// # What it cannot see
//
// A segment whose descriptor is on its way through a socket is open nowhere. In a container
// nvidia-smi may name pids of the host, or none: then it tells nothing.
package slate
