package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/xds"
)

// upstreamTLS is a compiled UpstreamTlsContext. It is immutable.
type upstreamTLS struct {
	*common
	sni         string
	autoHostSNI bool
	checkSNI    bool // auto_sni_san_validation
	sessions    int  // max_session_keys
}

func compileUpstreamTLS(m *tlspb.UpstreamTlsContext) (*upstreamTLS, error) {
	c := m.GetCommonTlsContext()
	switch {
	case m.GetAllowRenegotiation():
		return nil, errors.New("field UpstreamTlsContext.allow_renegotiation is not supported")
	case strings.IndexByte(m.GetSni(), 0) >= 0:
		return nil, errors.New("SNI names containing NULL-byte are not allowed")
	case len(c.GetTlsCertificates())+len(c.GetTlsCertificateSdsSecretConfigs()) > 1:
		return nil, errors.New("Multiple TLS certificates are not supported for client contexts")
	}
	// enforce_rsa_key_usage is deprecated and ignored by Envoy: keyUsage is always enforced.
	u := &upstreamTLS{sni: m.GetSni(), autoHostSNI: m.GetAutoHostSni(), checkSNI: m.GetAutoSniSanValidation(), sessions: 1}
	if k := m.GetMaxSessionKeys(); k != nil {
		u.sessions = int(min(k.GetValue(), maxSessions))
	}
	var err error
	if u.common, err = compileCommon(c, maxClientVersion); err != nil {
		return nil, err
	}
	if u.checkSNI && c.GetValidationContextType() == nil {
		return nil, errors.New("'auto_sni_san_validation' was configured without a validation context")
	}
	return u, nil
}

// maxSessions bounds a cluster's cache of sessions whatever is configured.
const maxSessions = 1 << 16

// Refs are the secrets that the context needs.
func (u *upstreamTLS) Refs() []xds.Ref { return u.refs() }

// Check looks for the static secrets that the context refers to.
func (u *upstreamTLS) Check(s *xds.Snapshot) error { return u.check(s) }

// Secure is true.
func (u *upstreamTLS) Secure() bool { return true }

// Build makes the context live.
func (u *upstreamTLS) Build(e Env) (Upstream, error) {
	t := &tlsUpstream{config: u, env: e, stats: newSSLStats(e.Scope, "client_ssl_socket_factory")}
	var err error
	if t.keyLog, err = u.keyLog.open(); err != nil {
		t.stats.close()
		return nil, err
	}
	t.mu.Lock() // a secret may change as soon as it is subscribed to
	t.live = u.bind(e.Secrets, t.changed)
	t.mu.Unlock()
	if err := t.rebuild(); err != nil {
		t.Close()
		return nil, err
	}
	e.Contexts.add(t)
	return t, nil
}

// tlsUpstream is the live TLS context of a cluster.
type tlsUpstream struct {
	config *upstreamTLS
	env    Env
	stats  *sslStats
	keyLog *keyLog // nil: none
	live   *live

	mu    sync.Mutex                  // held while the state is made anew
	state atomic.Pointer[clientState] // nil: a secret is missing
}

// changed is called when one of the secrets has changed.
func (t *tlsUpstream) changed() {
	if err := t.rebuild(); err != nil {
		t.env.Log.Warn("TLS context keeps its last secrets", "error", err)
	}
}

// rebuild makes the state of the secrets of now; with an error the old one stays.
func (t *tlsUpstream) rebuild() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	certs, v, ok, err := t.live.current()
	if err != nil || !ok {
		return err
	}
	t.state.Store(newClientState(t, certs, v))
	if len(t.config.Refs()) > 0 {
		t.stats.factory.Updated.Inc(0)
	}
	t.stats.expirations(certs, v)
	return nil
}

// Secure is true.
func (t *tlsUpstream) Secure() bool { return true }

// Close gives up the secrets and the stats.
func (t *tlsUpstream) Close() {
	t.env.Contexts.remove(t)
	t.live.close()
	t.keyLog.close()
	t.stats.close()
}

// Handshake takes a new connection through the TLS handshake.
func (t *tlsUpstream) Handshake(ctx context.Context, c net.Conn, o Options, u *streaminfo.Upstream) (net.Conn, error) {
	state := t.state.Load()
	if state == nil {
		t.stats.factory.UpstreamNotReady.Inc(0)
		u.TransportFailureReason = errNoSecret.Error()
		_ = c.Close()
		return nil, errNoSecret
	}
	under := network.Layer(c)
	out := &conn{Conn: tls.Client(under, state.config(t.target(c, &o, u))), stats: t.stats}
	err := out.HandshakeContext(ctx)
	cs := out.ConnectionState()
	if err != nil {
		u.TransportFailureReason = failureText(err, false, cs.Version == 0)
		t.stats.error(0, err, u.TransportFailureReason)
		_ = c.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	t.stats.negotiated(0, &cs)
	peer := state.peer(&cs)
	u.TLS = describe(&cs, state.localInfo(), &peer)
	return out, nil
}

// target is what a connection asks for, from its options, its host and the configuration.
func (t *tlsUpstream) target(c net.Conn, o *Options, u *streaminfo.Upstream) target {
	to := target{serverName: t.config.sni, sans: strings.Join(o.SANs, "\x00"), alpn: strings.Join(o.ALPN, "\x00"), keyLog: t.keyLog.wants(c)}
	if to.alpn == "" && len(t.config.alpn) == 0 {
		to.alpn = strings.Join(o.ALPNFallback, "\x00")
	}
	switch {
	case o.ServerName != "":
		to.serverName = o.ServerName
	case t.config.autoHostSNI && u.HostName != "":
		to.serverName = u.HostName
	}
	// A name that cannot be a name is not sent (CVE-2024-32475).
	if len(to.serverName) > 255 || strings.IndexByte(to.serverName, 0) >= 0 {
		to.serverName = ""
	}
	return to
}

func (t *tlsUpstream) secrets() ([]*secret.Certificate, *secret.Validation) {
	s := t.state.Load()
	if s == nil {
		return nil, nil
	}
	if s.certificate == nil {
		return nil, s.validation
	}
	return []*secret.Certificate{s.certificate}, s.validation
}

var _ Upstream = (*tlsUpstream)(nil)
