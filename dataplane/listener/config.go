package listener

import (
	"net/netip"
	"time"

	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/transport"
	"github.com/pillion-proxy/pillion/xds"
)

// Config is a compiled Listener. It is immutable, and a pure value: nothing is open yet.
type Config struct {
	Name       string
	StatPrefix string // instead of the address
	Addresses  []Address
	Internal   bool

	UseOriginalDst                    bool
	Direction                         filter.Direction
	FilterTimeout                     time.Duration // 0: none
	ContinueOnTimeout                 bool
	BufferLimit                       int
	IgnoreGlobalLimit, BypassOverload bool
	// ModifyOnly is drain_type MODIFY_ONLY: failing health checks does not drain.
	ModifyOnly bool
	Metadata   streaminfo.Metadata

	match   *Match
	matcher *chainMatcher // nil: match
	filters []filterConfig
	chains  []*ChainConfig
	deflt   *ChainConfig
	logs    *accesslog.Config
	refs    []xds.Ref
	// settings is what a chain's life depends on besides the chain itself: where it differs, chains of
	// the same content are not the same.
	settings string
}

// Address is one address that a listener has.
type Address struct {
	TCP  netip.AddrPort
	Pipe string // a Unix domain socket, instead of TCP
	Mode uint32 // of the pipe's file
	Bind bool
	Sock SocketOptions
}

// SocketOptions are what a listener asks of its sockets.
type SocketOptions struct {
	Transparent, Freebind, ReusePort, V6Only, MPTCP bool
	Backlog, FastOpen                               int
	KeepAlive                                       *KeepAlive
	Options                                         []SocketOption
}

// KeepAlive is core.v3.TcpKeepalive; a zero is the system's.
type KeepAlive struct {
	Probes         int
	Time, Interval time.Duration
}

// SocketOption is core.v3.SocketOption.
type SocketOption struct {
	Level, Name int
	Int         int
	Bytes       []byte
	State       int // SocketOption.SocketState
}

// ChainConfig is a compiled FilterChain.
type ChainConfig struct {
	Name string
	// Content is the chain's bytes: chains of the same content and settings are the same.
	Content          string
	Metadata         streaminfo.Metadata
	ConnectTimeout   time.Duration // transport_socket_connect_timeout; 0: none
	UseProxyProtocol bool

	transport transport.DownstreamConfig // nil: raw_buffer
	filters   []networkFilter
}

type networkFilter struct {
	name     string
	config   filter.NetworkConfig
	terminal bool
}

type filterConfig struct {
	name     string
	config   filter.ListenerConfig
	disabled predicate // nil: never
}

// predicate is a compiled ListenerFilterChainMatchPredicate.
type predicate func(c *network.Conn) bool

// Refs lists what the listener needs before it may serve.
func (c *Config) Refs() []xds.Ref { return c.refs }

// Chains lists the filter chains in order, the default one last.
func (c *Config) Chains() []*ChainConfig {
	if c.deflt != nil {
		return append(c.chains[:len(c.chains):len(c.chains)], c.deflt)
	}
	return c.chains
}

// Default is the default filter chain, or nil.
func (c *Config) Default() *ChainConfig { return c.deflt }

// FindChain returns the chain for a connection, and nil if there is none: the same function as live
// connections take.
func (c *Config) FindChain(conn *network.Conn) *ChainConfig {
	i := none
	if c.matcher != nil {
		i = c.matcher.find(conn)
	} else {
		i = c.match.Find(&conn.Info)
	}
	if i >= 0 {
		return c.chains[i]
	}
	return c.deflt
}

// Filters lists the names and configurations of a chain's network filters, for explain.
func (c *ChainConfig) Filters() (names []string, configs []filter.NetworkConfig) {
	for _, f := range c.filters {
		names, configs = append(names, f.name), append(configs, f.config)
	}
	return names, configs
}

// compilePredicate compiles filter_disabled.
func compilePredicate(p *listenerpb.ListenerFilterChainMatchPredicate) predicate {
	switch r := p.GetRule().(type) {
	case *listenerpb.ListenerFilterChainMatchPredicate_OrMatch:
		rules := compilePredicates(r.OrMatch.GetRules())
		return func(c *network.Conn) bool {
			for _, f := range rules {
				if f(c) {
					return true
				}
			}
			return false
		}
	case *listenerpb.ListenerFilterChainMatchPredicate_AndMatch:
		rules := compilePredicates(r.AndMatch.GetRules())
		return func(c *network.Conn) bool {
			for _, f := range rules {
				if !f(c) {
					return false
				}
			}
			return true
		}
	case *listenerpb.ListenerFilterChainMatchPredicate_NotMatch:
		f := compilePredicate(r.NotMatch)
		return func(c *network.Conn) bool { return !f(c) }
	case *listenerpb.ListenerFilterChainMatchPredicate_AnyMatch:
		return func(*network.Conn) bool { return true }
	case *listenerpb.ListenerFilterChainMatchPredicate_DestinationPortRange:
		start, end := r.DestinationPortRange.GetStart(), r.DestinationPortRange.GetEnd()
		return func(c *network.Conn) bool {
			p := int32(c.Info.Local.Port())
			return c.Info.Local.IsValid() && p >= start && p < end
		}
	}
	return func(*network.Conn) bool { return false }
}

func compilePredicates(ps []*listenerpb.ListenerFilterChainMatchPredicate) (out []predicate) {
	for _, p := range ps {
		out = append(out, compilePredicate(p))
	}
	return out
}
