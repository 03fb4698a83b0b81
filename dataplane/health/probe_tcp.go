package health

import (
	"bytes"
	"context"
	"net"
	"time"
)

// probeTCP connects, and sends and expects what is configured.
func (s *session) probeTCP(ctx context.Context, c *TCPCheck) result {
	bad := result{failure: network}
	if s.conn == nil {
		conn, err := s.checker.env.Dialer.DialCheck(ctx, s.checker.target(s.host))
		if err != nil {
			return bad
		}
		s.conn = conn
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if len(c.Send) > 0 {
		if _, err := s.conn.Write(c.Send); err != nil {
			return bad
		}
	}
	if len(c.Receive) == 0 {
		// A connection is all that is asked for: it is not kept, so that the next check makes one.
		_ = s.conn.Close()
		s.conn = nil
		return result{passed: true}
	}
	return result{passed: expect(s.conn, c.Receive), failure: network}
}

// maxTCPResponse bounds what is kept of an answer.
const maxTCPResponse = 64 << 10

// expect reads until all blocks are found, one behind the other with anything between.
func expect(c net.Conn, blocks [][]byte) bool {
	var seen []byte
	chunk := make([]byte, 1024)
	for len(seen) < maxTCPResponse {
		n, err := c.Read(chunk)
		seen = append(seen, chunk[:n]...)
		if inOrder(seen, blocks) {
			return true
		}
		if err != nil {
			return false
		}
	}
	return false
}

// inOrder tells whether all blocks are in b in this order.
func inOrder(b []byte, blocks [][]byte) bool {
	for _, x := range blocks {
		at := bytes.Index(b, x)
		if at < 0 {
			return false
		}
		b = b[at+len(x):]
	}
	return true
}
