package health

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// Target is where and how a host is checked.
type Target struct {
	Host *endpoint.Host
	// Address is the host's, or the one for health checks.
	Address  endpoint.Address
	Protocol pool.Protocol
	// ALPN is what is offered, separated by commas; "": the transport socket's own.
	ALPN string
	// Match stands in for the host's metadata where the transport socket is chosen; nil: it does not.
	Match *structpb.Struct
}

// Dialer reaches hosts for health checks: the cluster is one. What it opens counts in no stats of
// traffic.
type Dialer interface {
	// DialCheck opens a connection, transport socket included.
	DialCheck(ctx context.Context, t Target) (net.Conn, *pool.Error)
	// CheckPool makes a pool for one host's health checks, which closes it.
	CheckPool(t Target) pool.Pool
}

// CheckEnv is what a Checker is made with, beside its configuration.
type CheckEnv struct {
	// Cluster is the cluster's name, Number that of the check among the cluster's.
	Cluster string
	Number  int
	Stats   *CheckStats
	Runtime *runtime.Loader
	Dialer  Dialer
	// Traffic tells whether the cluster has ever made a connection for a request.
	Traffic func() bool
	// OnChecked hears of every check's end; changed tells that the host's health flags are other ones. It
	// is called on the host's own goroutine.
	OnChecked func(h *endpoint.Host, passed, changed bool)
	// Logs take events as lines of JSON.
	Logs []io.Writer
}

// Checker checks the hosts of one cluster: each by a goroutine of its own.
type Checker struct {
	check  *Check
	env    CheckEnv
	events events
	ctx    context.Context //nolint:containedctx // The life of the checker, which its sessions end with.
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu       sync.Mutex
	sessions map[*endpoint.Host]*session // guarded by mu
}

// NewChecker makes a checker without hosts; Close ends it.
func NewChecker(c *Check, env CheckEnv) *Checker {
	k := &Checker{check: c, env: env, events: newEvents(env.Cluster, c, env.Logs), sessions: map[*endpoint.Host]*session{}}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// Close ends all checks and waits for them. It may not be called by OnChecked.
func (k *Checker) Close() {
	k.cancel()
	k.wait.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sessions {
		s.forget()
	}
	clear(k.sessions)
}

// Add starts to check a host. It counts as failing until the first check has passed, unless it is known
// already: fresh is false then.
func (k *Checker) Add(h *endpoint.Host, fresh bool) {
	ctx, cancel := context.WithCancel(k.ctx)
	s := &session{checker: k, host: h, ctx: ctx, cancel: cancel, first: fresh}
	k.mu.Lock()
	k.sessions[h] = s
	k.mu.Unlock()
	if fresh {
		h.SetFailing(k.env.Number, true)
	}
	s.healthy = !h.Failing(k.env.Number)
	if s.healthy {
		k.env.Stats.Healthy.Inc(0)
	}
	// Owned by k: ends with Remove or Close.
	k.wait.Go(s.run)
}

// Remove ends the checks of a host, whose flags stay as they are. It does not wait for a check that is
// under way.
func (k *Checker) Remove(h *endpoint.Host) {
	k.mu.Lock()
	s := k.sessions[h]
	delete(k.sessions, h)
	k.mu.Unlock()
	if s != nil {
		s.cancel()
		s.forget()
	}
}

// Fail marks a host as failing at once, because it said so itself in an answer to a request
// (x-envoy-immediate-health-check-fail).
func (k *Checker) Fail(h *endpoint.Host) {
	k.mu.Lock()
	s := k.sessions[h]
	k.mu.Unlock()
	if s == nil {
		return
	}
	k.env.Stats.PassiveFailure.Inc(0)
	k.env.Stats.Failure.Inc(0)
	excluded := h.SetFlags(endpoint.ExcludedViaImmediateHCFail, endpoint.ExcludedViaImmediateHCFail)
	s.mu.Lock()
	changed := s.fail(passive, false, 0)
	s.mu.Unlock()
	k.env.OnChecked(h, false, changed || excluded)
}

// target is where h is checked.
func (k *Checker) target(h *endpoint.Host) Target {
	e := h.Endpoint()
	t := Target{Host: h, Address: h.Address, ALPN: k.check.ALPN, Match: k.check.Match}
	if e.HealthCheck.Address.Valid() {
		t.Address = e.HealthCheck.Address
	}
	if e.HealthCheck.Port != 0 {
		t.Address = t.Address.WithPort(e.HealthCheck.Port)
	}
	switch {
	case k.check.HTTP != nil:
		t.Protocol = k.check.HTTP.Protocol
	case k.check.GRPC != nil:
		t.Protocol = pool.HTTP2
	default:
		t.Protocol = pool.TCP
	}
	return t
}

// hostname is what a check calls its host: the endpoint's name for health checks, the check's, or the
// cluster's.
func (k *Checker) hostname(h *endpoint.Host, configured string) string {
	if name := h.Endpoint().HealthCheck.Hostname; name != "" {
		return name
	}
	if configured != "" {
		return configured
	}
	return k.env.Cluster
}

// sleep waits, and tells whether the wait was not cut short.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
