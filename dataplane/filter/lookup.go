package filter

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/lb"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// Registry is the extensions that a proxy knows. Configurations name them by type; the name of a filter
// in a configuration is free. It is immutable after construction.
type Registry struct {
	http      map[string]HTTPExtension // by configuration type
	routes    map[string]func(*anypb.Any, Parsers) (Config, error)
	network   map[string]NetworkExtension
	listener  map[string]ListenerExtension
	upstream  map[string]UpstreamExtension
	httpNames map[string]HTTPExtension // by extension name, for an empty configuration
	disabled  []string

	// Options is what configurations depend on besides the extensions. It is set before any is parsed.
	Options Options
}

// Options is what configurations depend on besides the extensions that there are.
type Options struct {
	// Logs are access loggers, their filters, and format commands that are linked from elsewhere.
	Logs accesslog.Options
	// Runtime is asked for limits on configurations; nil: they are as by default.
	Runtime *runtime.Loader
	// HasCluster tells whether a cluster exists, for validate_clusters; nil: it is not checked.
	HasCluster func(name string) bool
}

// Routes are what route configurations are compiled with.
func (r *Registry) Routes(inline bool) route.Options {
	logs := r.Logs()
	return route.Options{
		PerFilter:        func(name string, a *anypb.Any) (any, error) { return r.PerRoute(name, a) },
		HasCluster:       r.Options.HasCluster,
		ValidateClusters: inline,
		Subset: func(fields map[string]*structpb.Value) any {
			if c := lb.CompileCriteria(fields); c != nil {
				return c
			}
			return nil
		},
		Matcher: logs.Matcher, Formatter: logs.Format,
	}
}

// Logs are what access logs, matchers and formats are compiled with.
func (r *Registry) Logs() accesslog.Options {
	o := r.Options.Logs
	if r.Options.Runtime != nil {
		o.Matcher.MaxProgramSize = uint32(r.Options.Runtime.Uint(runtime.RegexMaxProgramError, uint64(o.Matcher.MaxProgramSize)))
	}
	return o
}

// NewRegistry makes a registry of exactly these extensions. It panics if two claim one type: a mistake
// in the list.
func NewRegistry(extensions ...any) *Registry {
	r := &Registry{http: map[string]HTTPExtension{}, routes: map[string]func(*anypb.Any, Parsers) (Config, error){}, network: map[string]NetworkExtension{},
		listener: map[string]ListenerExtension{}, upstream: map[string]UpstreamExtension{}, httpNames: map[string]HTTPExtension{}}
	for _, e := range extensions {
		switch e := e.(type) {
		case HTTPExtension:
			r.addHTTP(e)
		case NetworkExtension:
			for _, t := range e.types {
				claim(r.network, t, e)
			}
		case ListenerExtension:
			for _, t := range e.types {
				claim(r.listener, t, e)
			}
		case UpstreamExtension:
			for _, t := range e.types {
				claim(r.upstream, t, e)
			}
		default:
			panic(fmt.Sprintf("filter: %T is no extension", e))
		}
	}
	return r
}

func (r *Registry) addHTTP(e HTTPExtension) {
	r.httpNames[e.Name] = e
	for _, t := range e.types {
		claim(r.http, t, e)
	}
	for t, parse := range e.routes {
		r.routes[t] = parse
	}
}

func claim[E any](m map[string]E, t string, e E) {
	if _, ok := m[t]; ok {
		panic("filter: two extensions claim " + t)
	}
	m[t] = e
}

// Disable refuses the extensions of these names (--disable-extensions).
func (r *Registry) Disable(names []string) { r.disabled = names }

// Names lists the extensions: for the node's extensions and for --help.
func (r *Registry) Names() (listener, network, http []string) {
	for _, e := range r.listener {
		listener = append(listener, e.Name)
	}
	for _, e := range r.network {
		network = append(network, e.Name)
	}
	for _, e := range r.http {
		http = append(http, e.Name)
	}
	slices.Sort(listener)
	slices.Sort(network)
	slices.Sort(http)
	return slices.Compact(listener), slices.Compact(network), slices.Compact(http)
}

// UnknownError is the NACK for a configuration of a type that nobody claims, in Envoy's words.
func UnknownError(name string, a *anypb.Any) error {
	return fmt.Errorf("Didn't find a registered implementation for '%s' with type URL: '%s'", name, ConfigType(a)) //nolint:staticcheck,revive // Envoy's text
}

// errNoConfig is a filter without typed_config.
var errNoConfig = errors.New("typed_config is missing")

// HTTP parses an HTTP filter.
func (r *Registry) HTTP(name string, a *anypb.Any) (HTTPConfig, bool, error) {
	e, ok := r.http[ConfigType(a)]
	if a == nil {
		e, ok = r.httpNames[name]
	}
	if !ok || slices.Contains(r.disabled, e.Name) {
		return nil, false, UnknownError(name, a)
	}
	c, err := e.parse(a, r)
	if err != nil {
		return nil, false, fmt.Errorf("HTTP filter %q: %w", name, err)
	}
	return c, e.terminal, nil
}

// PerRoute parses a per-route configuration. A type that is a filter's own configuration, but not a
// per-route one, is refused as Envoy does.
func (r *Registry) PerRoute(name string, a *anypb.Any) (Config, error) {
	parse, ok := r.routes[ConfigType(a)]
	if !ok {
		if _, known := r.http[ConfigType(a)]; known {
			return nil, fmt.Errorf("The filter %s doesn't support virtual host or route specific configurations", name) //nolint:staticcheck,revive // Envoy's text
		}
		return nil, UnknownError(name, a)
	}
	return parse(a, r)
}

// Network parses a network filter.
func (r *Registry) Network(name string, a *anypb.Any) (NetworkConfig, bool, error) {
	e, ok := r.network[ConfigType(a)]
	if a == nil {
		return nil, false, fmt.Errorf("network filter %q: %w", name, errNoConfig)
	}
	if !ok || slices.Contains(r.disabled, e.Name) {
		return nil, false, UnknownError(name, a)
	}
	c, err := e.parse(a, r)
	if err != nil {
		return nil, false, fmt.Errorf("network filter %q: %w", name, err)
	}
	return c, e.terminal, nil
}

// Listener parses a listener filter.
func (r *Registry) Listener(name string, a *anypb.Any) (ListenerConfig, error) {
	e, ok := r.listener[ConfigType(a)]
	if !ok || slices.Contains(r.disabled, e.Name) {
		return nil, UnknownError(name, a)
	}
	c, err := e.parse(a)
	if err != nil {
		return nil, fmt.Errorf("listener filter %q: %w", name, err)
	}
	return c, nil
}

var _ Parsers = (*Registry)(nil)
