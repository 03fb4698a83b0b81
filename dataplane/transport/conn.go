package transport

import (
	"crypto/tls"
	"errors"
	"net"

	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// conn is a TLS connection after its handshake. It writes records of the full size from the start,
// reads in place, and holds no buffer of its own: what crypto/tls keeps while it is idle is all.
type conn struct {
	*tls.Conn
	stats  *sslStats
	worker stats.Worker
	broken bool // guarded by who reads: an error was counted
}

// Read counts an alert or a broken record, which is how TLS 1.3 servers refuse a client's certificate.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !c.broken {
		var op *net.OpError
		if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
			c.broken = true
			c.stats.ConnectionError.Inc(c.worker)
		}
	}
	return n, err
}

// handshake is what the callbacks of crypto/tls, which are shared by all connections of a
// configuration, leave for the one connection that they were called for. They find it by the
// connection under it.
type handshake struct {
	net.Conn
	worker stats.Worker
	// certificate is the one that was chosen, tls how it is sent: with its staple or without.
	certificate *serverCertificate
	tls         *tls.Certificate
	// serverName and protocols are what the client's hello asked for; hello tells that there was one.
	serverName string
	protocols  []string
	hello      bool
}

// of finds the handshake that a callback is called for.
func of(c net.Conn) *handshake { return c.(*handshake) }
