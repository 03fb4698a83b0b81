package network

import "net"

// Layer makes the connection that a layer such as TLS is put over. It keeps deadlines as a Sock does,
// lazily: a TLS connection does not survive a write that failed because a timer fired early, so that
// this must be sorted out below it. A Sock over such a layer hands its deadlines through exactly.
func Layer(c net.Conn) net.Conn {
	s := &Sock{}
	s.Init(c)
	return s
}

// below moves s's connection, with what was read of it and its deadline, under a layer. It is read by
// Read alone.
func (s *Sock) below() *Sock {
	in := &Sock{Conn: s.Conn, Buf: s.Buf, tcp: s.tcp, raw: s.raw}
	s.Buf = nil
	in.reads.from(&s.reads)
	in.writes.from(&s.writes)
	return in
}
