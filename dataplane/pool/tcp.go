package pool

import (
	"context"

	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// TCPConn is an upstream connection of tcp_proxy's: one for each downstream connection.
type TCPConn struct{ conn }

// DialTCP opens a connection, if the circuit breakers for connections and pending requests allow.
func DialTCP(ctx context.Context, cfg *Config, w stats.Worker) (*TCPConn, *Error) {
	st := cfg.Stats
	if b := cfg.Breakers; b != nil {
		if !b.Pending.CanCreate() {
			st.RqPendingOverflow.Inc(w)
			return nil, overflow("max_pending_requests", b.Pending.Max())
		}
		if !b.Connections.CanCreate() {
			st.CxOverflow.Inc(w)
			return nil, overflow("max_connections", b.Connections.Max())
		}
		b.Pending.Inc()
		defer b.Pending.Dec()
	}
	st.RqPendingTotal.Inc(w)
	st.RqPendingActive.Inc(w)
	defer st.RqPendingActive.Dec(w)
	t := &TCPConn{}
	if err := t.dial(ctx, cfg, w); err != nil {
		return nil, err
	}
	ends(t.Conn, &t.up)
	t.attach()
	return t, nil
}

// Info fills what is known of the connection.
func (t *TCPConn) Info(u *streaminfo.Upstream) { t.info(u) }

// Count adds to the cluster's bytes.
func (t *TCPConn) Count(sent, received uint64) {
	t.cfg.Stats.CxTxBytesTotal.Add(t.worker, sent)
	t.cfg.Stats.CxRxBytesTotal.Add(t.worker, received)
}

// Finish closes the connection; remote tells whose doing it was.
func (t *TCPConn) Finish(remote bool) {
	t.detach()
	t.Sock.Free()
	t.close(remote, false)
}

// Reset closes the connection with a RST where it is TCP.
func (t *TCPConn) Reset() {
	if c := t.Sock.TCP(); c != nil {
		_ = c.SetLinger(0)
	}
	t.Finish(false)
}
