package cluster

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// originalDstKey is the filter state object that overrides the destination.
const originalDstKey = "envoy.network.transport_socket.original_dst_address"

// originals is the load balancer of an ORIGINAL_DST cluster: it makes a host of every address that
// clients mean to reach, and drops those that nobody has used for a while.
type originals struct {
	live *live
	// read is looked into without a lock; all has hosts that are not in read yet.
	read atomic.Pointer[map[netip.AddrPort]*endpoint.Host]

	mu     sync.Mutex
	all    map[netip.AddrPort]*endpoint.Host // guarded by mu
	misses int                               // guarded by mu: look-ups that read could not answer
	timer  *time.Timer                       // guarded by mu
	ended  bool                              // guarded by mu
}

func newOriginals(l *live, before *live) *originals {
	o := &originals{live: l, all: map[netip.AddrPort]*endpoint.Host{}}
	if before != nil && before.originals != nil {
		before.originals.mu.Lock()
		maps.Copy(o.all, before.originals.all)
		before.originals.mu.Unlock()
		for _, h := range o.all {
			l.adopt(h, false)
		}
	}
	o.publish()
	if !l.cluster.gone {
		o.timer = time.AfterFunc(l.spec.OriginalDst.Cleanup, o.cleanup)
	}
	return o
}

// publish makes read be all. o.mu is held, or o is new.
func (o *originals) publish() {
	m := maps.Clone(o.all)
	o.read.Store(&m)
	o.misses = 0
}

func (o *originals) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	if o.timer != nil {
		o.timer.Stop()
	}
}

// Pick implements lb.LoadBalancer.
func (o *originals) Pick(c *lb.Context) *endpoint.Host {
	dst := o.destination(c)
	if !dst.IsValid() {
		return nil
	}
	if p := o.live.spec.OriginalDst.Port; p != 0 {
		dst = netip.AddrPortFrom(dst.Addr(), p)
	}
	h := (*o.read.Load())[dst]
	if h == nil {
		if h = o.find(dst); h == nil {
			h = o.add(dst)
		}
	}
	h.Use()
	return h
}

// destination is where the request is to go: what filters say, then metadata, a header, and the address
// that the client connected to.
func (o *originals) destination(c *lb.Context) netip.AddrPort {
	if a := fromState(c); a.IsValid() {
		return a
	}
	cfg := &o.live.spec.OriginalDst
	if cfg.Metadata != nil {
		if text := fromMetadata(c, cfg.Metadata); text != "" {
			if a, err := netip.ParseAddrPort(text); err == nil {
				return a
			}
			o.live.traffic.stats.OriginalDSTHostInvalid.Inc(c.Worker)
		}
	}
	if cfg.Header != "" && c.Headers != nil {
		if text, ok := c.Headers.Get(cfg.Header); ok {
			if a, err := netip.ParseAddrPort(text); err == nil {
				return a
			}
			o.live.traffic.stats.OriginalDSTHostInvalid.Inc(c.Worker)
		}
	}
	return c.OriginalDst
}

func fromState(c *lb.Context) netip.AddrPort {
	var v any
	if c.Info != nil {
		v = c.Info.Find(originalDstKey)
	}
	if v == nil && c.Conn != nil {
		v = c.Conn.FilterState.Get(originalDstKey)
	}
	switch v := v.(type) {
	case netip.AddrPort:
		return v
	case streaminfo.Serializer:
		a, _ := netip.ParseAddrPort(v.FilterStateString())
		return a
	}
	return netip.AddrPort{}
}

func fromMetadata(c *lb.Context, k *lb.MetadataKey) string {
	text := func(m streaminfo.Metadata) string {
		v := k.Find(m[k.Namespace])
		if l, ok := v.GetKind().(*structpb.Value_ListValue); ok && len(l.ListValue.GetValues()) > 0 {
			v = l.ListValue.GetValues()[0]
		}
		return v.GetStringValue()
	}
	if c.Info != nil {
		if t := text(c.Info.Metadata); t != "" {
			return t
		}
	}
	if c.Conn != nil {
		return text(c.Conn.Metadata)
	}
	return ""
}

// find looks where a lock is needed.
func (o *originals) find(dst netip.AddrPort) *endpoint.Host {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.all[dst]
	if h != nil {
		if o.misses++; o.misses > len(o.all) {
			o.publish()
		}
	}
	return h
}

// add makes a host.
func (o *originals) add(dst netip.AddrPort) *endpoint.Host {
	l := o.live
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	o.mu.Lock()
	h := o.all[dst]
	o.mu.Unlock()
	if h != nil {
		return h
	}
	a := endpoint.IPAddress(dst)
	h = l.newHost(&endpoint.Endpoint{Address: a, Weight: 1, Hostname: l.cluster.name + a.String()})
	h.Use()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[dst] = h
	if len(o.all) <= smallTable {
		o.publish()
	}
	l.cluster.members.Change.Inc(0)
	o.count()
	return h
}

// smallTable is how many hosts are copied for a new one, rather than looked for behind the lock first.
const smallTable = 64

// count sets the membership gauges. o.mu is held.
func (o *originals) count() {
	o.live.cluster.members.Total.Set(uint64(len(o.all)))
	o.live.cluster.members.Healthy.Set(uint64(len(o.all)))
}

// cleanup drops the hosts that nothing has used since the last time and that have no connections. The
// timer calls it.
func (o *originals) cleanup() {
	l := o.live
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	o.mu.Lock()
	if o.ended {
		o.mu.Unlock()
		return
	}
	var stale []*endpoint.Host
	for dst, h := range o.all {
		if h.Unused() && h.Stats.CxActive.Value() == 0 {
			delete(o.all, dst)
			stale = append(stale, h)
		}
	}
	if len(stale) > 0 {
		o.publish()
		o.count()
		l.cluster.members.Change.Inc(0)
	}
	o.timer.Reset(l.spec.OriginalDst.Cleanup)
	o.mu.Unlock()
	for _, h := range stale {
		l.letGo(h)
	}
}

// hosts lists the hosts by address.
func (o *originals) hosts() []*endpoint.Host {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.SortedFunc(maps.Values(o.all), func(a, b *endpoint.Host) int { return a.Address.IP.Compare(b.Address.IP) })
}

var _ lb.LoadBalancer = (*originals)(nil)
