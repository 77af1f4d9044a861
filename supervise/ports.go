package supervise

import "net"

// ports gives each rendezvous of ranks its port. A fresh one for every epoch
// means that no rank of an earlier one can be met by mistake and that a socket
// in TIME_WAIT does not matter.
type ports map[string]int

// manyPorts bounds the memory of a job that restarts for ever; a rendezvous that
// is forgotten while its last ranks start would get a second port, so it is large.
const manyPorts = 1024

// pick is the port of a rendezvous: the same for all that name it. The kernel
// chooses one that is free now. Somebody else may take it before rank 0 binds
// it; that rank then fails, and the next epoch gets another one.
func (p ports) pick(meeting string) (int, error) {
	if port, ok := p[meeting]; ok {
		return port, nil
	}
	s, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if len(p) >= manyPorts {
		clear(p)
	}
	p[meeting] = s.Addr().(*net.TCPAddr).Port
	return p[meeting], nil
}
