package lb

import (
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// Kind is a load-balancing policy.
type Kind uint8

// The policies. WRRLocality is compiled away into its child.
const (
	RoundRobin Kind = iota
	LeastRequest
	Random
	RingHash
	Maglev
	ClusterProvided
	ClientWeighted
	Subset
	OverrideHost
)

// Config is a compiled load-balancing policy. It is immutable.
type Config struct {
	Kind Kind
	// PanicThreshold is healthy_panic_threshold in percent.
	PanicThreshold uint64
	Locality       LocalityConfig
	SlowStart      *SlowStart // nil: none
	LeastRequest   LeastRequestConfig
	Hash           HashConfig
	Client         *ClientConfig // of ClientWeighted
	Subset         *SubsetConfig // of Subset
	Sources        []Source      // of OverrideHost
	SelectedKey    *MetadataKey  // of OverrideHost
	Child          *Config       // of Subset and OverrideHost
}

// LocalityConfig is how localities of a priority share its requests.
type LocalityConfig struct {
	// Weighted is locality_weighted_lb_config.
	Weighted bool
	// Zone is zone aware routing, which takes a local cluster to have any effect.
	RoutingEnabled uint64 // percent
	MinClusterSize uint64
	// FailTrafficOnPanic fails requests where else all hosts would be used.
	FailTrafficOnPanic bool
	// ForceLocal sends everything to the own zone if it has as many healthy hosts; 0: it is not forced.
	ForceLocal uint32
	// ByWeight reckons with hosts' weights, not their number.
	ByWeight bool
}

// SlowStart lets a new host's share grow over Window.
type SlowStart struct {
	Window     time.Duration
	Aggression Double
	MinWeight  float64 // of the full weight
}

// Double is a number that a runtime key may change.
type Double struct {
	Default float64
	Key     string
}

// In is the value in force.
func (d Double) In(r *runtime.Loader) float64 {
	if d.Key == "" {
		return d.Default
	}
	return r.Float(d.Key, d.Default)
}

// LeastRequestConfig is what least_request is configured with.
type LeastRequestConfig struct {
	Choices  int
	Bias     Double
	FullScan bool
}

// HashConfig is what ring_hash and maglev are configured with.
type HashConfig struct {
	MinRing, MaxRing uint64
	Murmur           bool
	Table            uint64
	UseHostname      bool
	// BalanceFactor bounds a host's load, in percent of the average; 0: it is not bounded.
	BalanceFactor uint32
}

// ClientConfig is what client_side_weighted_round_robin is configured with.
type ClientConfig struct {
	Blackout, Expiration, Update time.Duration
	ErrorPenalty                 float64
	Metrics                      []string
}

// MetadataKey is a path into a namespace of dynamic metadata.
type MetadataKey struct {
	Namespace string
	Path      []string
}

// Source is where an override_host policy finds addresses: a header or a key of dynamic metadata.
type Source struct {
	Header   string // lower case
	Metadata *MetadataKey
}

// New makes the policy's load balancer of a set. old, if not nil, is the one that it replaces.
func (c *Config) New(e *Env, set *endpoint.HostSet, old LoadBalancer) LoadBalancer {
	switch c.Kind {
	case RingHash, Maglev:
		return newHashed(c, e, set)
	case ClusterProvided:
		return e.Provided
	case Subset:
		return newSubset(c, e, set, old)
	case OverrideHost:
		return newOverride(c, e, set, old)
	default:
		return newZoned(c, e, set)
	}
}

// picker returns the function that makes what picks from one list of hosts.
func (c *Config) picker(e *Env) func(hosts []*endpoint.Host) picker {
	switch c.Kind {
	case LeastRequest:
		return func(hosts []*endpoint.Host) picker { return newLeastRequest(c, e, hosts) }
	case Random:
		return newRandom
	case ClientWeighted:
		return func(hosts []*endpoint.Host) picker { return newClientWeighted(c, e, hosts) }
	default:
		return func(hosts []*endpoint.Host) picker { return newRoundRobin(c, e, hosts) }
	}
}

// picker picks from one list of hosts, which is not empty.
type picker interface {
	pick(c *Context) *endpoint.Host
}
