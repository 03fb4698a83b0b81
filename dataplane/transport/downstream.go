package transport

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/secret"
	"github.com/pillion-proxy/pillion/xds"
)

// downstreamTLS is a compiled DownstreamTlsContext. It is immutable.
type downstreamTLS struct {
	*common
	requirePeer   bool
	preferClient  bool
	fullScan      bool
	noTickets     bool
	ticketKeys    *secret.TicketKeys
	ticketRef     xds.Ref // by SDS, if its Name is set
	ticketTimeout time.Duration
	policy        tlspb.DownstreamTlsContext_OcspStaplePolicy
}

func compileDownstreamTLS(m *tlspb.DownstreamTlsContext) (*downstreamTLS, error) {
	c := m.GetCommonTlsContext()
	d := &downstreamTLS{
		requirePeer:  m.GetRequireClientCertificate().GetValue(),
		preferClient: m.GetPreferClientCiphers(),
		fullScan:     m.GetFullScanCertsOnSniMismatch().GetValue(),
		policy:       m.GetOcspStaplePolicy(),
	}
	// require_sni has no effect in Envoy 1.40 either. A session cache, which
	// disable_stateful_session_resumption turns off, crypto/tls does not have: TLS 1.2 clients without
	// tickets make a full handshake.
	var err error
	if t := m.GetSessionTimeout(); t != nil {
		if t.AsDuration() < 0 {
			return nil, fmt.Errorf("Invalid duration: Expected positive duration: %s", t.AsDuration())
		}
		d.ticketTimeout = t.AsDuration().Truncate(time.Second) // 0 is the library's default
	}
	switch t := m.GetSessionTicketKeysType().(type) {
	case *tlspb.DownstreamTlsContext_SessionTicketKeys:
		d.ticketKeys, err = secret.CompileTicketKeys(t.SessionTicketKeys)
	case *tlspb.DownstreamTlsContext_SessionTicketKeysSdsSecretConfig:
		d.ticketRef, err = secret.Ref(t.SessionTicketKeysSdsSecretConfig)
	case *tlspb.DownstreamTlsContext_DisableStatelessSessionResumption:
		d.noTickets = t.DisableStatelessSessionResumption
	}
	if err != nil {
		return nil, err
	}
	switch {
	case len(c.GetTlsCertificates()) > 0 && len(c.GetTlsCertificateSdsSecretConfigs()) > 0:
		return nil, errors.New("SDS and non-SDS TLS certificates may not be mixed in server contexts")
	case len(c.GetTlsCertificates())+len(c.GetTlsCertificateSdsSecretConfigs()) == 0 && refuseCommonFields(c) == nil:
		return nil, errors.New("No TLS certificates found for server context")
	}
	if d.common, err = compileCommon(c, maxServerVersion); err != nil {
		return nil, err
	}
	return d, d.checkStaples(d.certificates)
}

func (d *downstreamTLS) checkStaples(certs []*secret.Certificate) error {
	if d.policy != tlspb.DownstreamTlsContext_MUST_STAPLE {
		return nil
	}
	for _, c := range certs {
		if c.Staple == nil {
			return errors.New("Required OCSP response is missing from TLS context")
		}
	}
	return nil
}

// Refs are the secrets that the context needs.
func (d *downstreamTLS) Refs() []xds.Ref {
	refs := d.refs()
	if d.ticketRef.Name != "" {
		refs = append(refs, d.ticketRef)
	}
	return refs
}

// Check looks for the static secrets that the context refers to.
func (d *downstreamTLS) Check(s *xds.Snapshot) error {
	if r := d.ticketRef; r.Name != "" && r.Source == secret.Static && staticSecret(s, r).TicketKeys == nil {
		return fmt.Errorf("Unknown tls session ticket keys: %s", r.Name)
	}
	return d.check(s)
}

// Build makes the context live.
func (d *downstreamTLS) Build(e Env) (Downstream, error) {
	t := &tlsDownstream{config: d, env: e, stats: newSSLStats(e.Scope, "server_ssl_socket_factory")}
	var err error
	if t.keyLog, err = d.keyLog.open(); err != nil {
		t.stats.close()
		return nil, err
	}
	t.mu.Lock() // a secret may change as soon as it is subscribed to
	t.live = d.bind(e.Secrets, t.changed)
	if d.ticketRef.Name != "" {
		t.tickets = e.Secrets.Handle(d.ticketRef)
		t.live.cancel = append(t.live.cancel, t.tickets.Subscribe(t.changed), t.tickets.Release)
	}
	t.mu.Unlock()
	if err := t.rebuild(); err != nil {
		t.Close()
		return nil, err
	}
	e.Contexts.add(t)
	return t, nil
}

// tlsDownstream is the live TLS context of a filter chain.
type tlsDownstream struct {
	config  *downstreamTLS
	env     Env
	stats   *sslStats
	keyLog  *keyLog // nil: none
	live    *live
	tickets *secret.Handle // nil: not by SDS

	mu    sync.Mutex                  // held while the state is made anew
	state atomic.Pointer[serverState] // nil: a secret is missing
}

// changed is called when one of the secrets has changed.
func (t *tlsDownstream) changed() {
	if err := t.rebuild(); err != nil {
		t.env.Log.Warn("TLS context keeps its last secrets", "error", err)
	}
}

// rebuild makes the state of the secrets of now: new handshakes use it at once, those under way keep
// theirs. With an error the old state stays.
func (t *tlsDownstream) rebuild() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	certs, v, ok, err := t.live.current()
	if err != nil || !ok {
		return err
	}
	keys := t.config.ticketKeys
	if t.tickets != nil {
		s := t.tickets.Load()
		if s == nil || s.TicketKeys == nil {
			return nil
		}
		keys = s.TicketKeys
	}
	if err := t.config.checkStaples(certs); err != nil {
		return err
	}
	if t.state.Swap(newServerState(t, certs, v, keys)); len(t.config.Refs()) > 0 {
		t.stats.factory.Updated.Inc(0)
	}
	t.stats.expirations(certs, v)
	return nil
}

// Secure is true.
func (t *tlsDownstream) Secure() bool { return true }

// Close gives up the secrets and the stats.
func (t *tlsDownstream) Close() {
	t.env.Contexts.remove(t)
	t.live.close()
	t.keyLog.close()
	t.stats.close()
}

// Handshake takes a new connection through the TLS handshake.
func (t *tlsDownstream) Handshake(c *network.Conn) error {
	state := t.state.Load()
	if state == nil {
		t.stats.factory.DownstreamNotReady.Inc(c.Worker)
		c.Info.TransportFailureReason = errNoSecret.Error()
		return errNoSecret
	}
	h := &handshake{worker: c.Worker}
	var wrapped *conn
	c.Wrap(func(under net.Conn) net.Conn {
		h.Conn = under
		wrapped = state.server(h)
		return wrapped
	})
	err := wrapped.Conn.Handshake()
	cs := wrapped.ConnectionState()
	if h.hello {
		c.Info.RequestedServerName = h.serverName
		if len(h.protocols) > 0 {
			c.Info.ApplicationProtocols = h.protocols
		}
	}
	local := state.selection.all[0].Info
	if h.certificate != nil {
		local = h.certificate.Info
	}
	if err != nil {
		t.failed(c, h, err)
		c.Info.TLS = describe(&cs, local, &secret.Peer{})
		c.Info.TLS.ServerName = h.serverName
		return err
	}
	t.stats.negotiated(c.Worker, &cs)
	peer := state.peer(&cs)
	c.Info.TLS = describe(&cs, local, &peer)
	c.Info.HandshakeDone = max(time.Since(c.Info.Start), 1)
	return nil
}

// failed counts a failed handshake and says why.
func (t *tlsDownstream) failed(c *network.Conn, h *handshake, err error) {
	text := failureText(err, true, !h.hello)
	c.Info.TransportFailureReason = text
	t.stats.error(c.Worker, err, text)
	answerJunk(h.Conn, err, text)
}

var _ Downstream = (*tlsDownstream)(nil)
