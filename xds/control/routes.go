package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	prevpb "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// routeConfigurations makes what the sidecars of a namespace ask for: one for each HTTP port, and one for
// each port of a service whose protocol is detected.
func (m *mesh) routeConfigurations(namespace string) ([]resource, error) {
	var all []resource
	byPort := map[uint32][]*routepb.VirtualHost{}
	for i := range m.Services {
		s := &m.Services[i]
		for j := range s.Ports {
			p := &s.Ports[j]
			detected := p.Protocol == protoAuto && s.VIP != ""
			if !p.isHTTP() && p.Protocol != protoAuto {
				continue
			}
			v, err := m.virtualHost(s, p)
			if err != nil {
				return nil, err
			}
			if !detected {
				v.Domains = m.domains(s, namespace)
				byPort[p.Port] = append(byPort[p.Port], v)
				continue
			}
			v.Domains = []string{"*"}
			add, err := m.generated(s.At, routeConfiguration(v.GetName(), v))
			if err != nil {
				return nil, err
			}
			all = append(all, add...)
		}
	}
	for p, hosts := range byPort {
		hosts = append(withoutDuplicates(hosts), m.anyHost())
		add, err := m.generated(nil, routeConfiguration(strconv.Itoa(int(p)), hosts...))
		if err != nil {
			return nil, err
		}
		all = append(all, add...)
	}
	return all, nil
}

func routeConfiguration(name string, hosts ...*routepb.VirtualHost) *routepb.RouteConfiguration {
	return &routepb.RouteConfiguration{
		Name:                           name,
		VirtualHosts:                   hosts,
		ValidateClusters:               wrapperspb.Bool(false),
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(1 << 20),
		IgnorePortInHostMatching:       true,
	}
}

// virtualHost makes a service's virtual host, but for the domains.
func (m *mesh) virtualHost(s *service, p *port) (*routepb.VirtualHost, error) {
	v := &routepb.VirtualHost{Name: hostPort(s, p), IncludeRequestAttemptCount: true}
	if err := m.dec.lay(s.VHost, v, "name", "domains", "routes"); err != nil {
		return nil, err
	}
	for _, words := range s.Routes {
		r := &routepb.Route{}
		if err := m.dec.words(words, r); err != nil {
			return nil, err
		}
		if err := (&resolver{mesh: m, s: s, port: p.Port}).route(r); err != nil {
			return nil, words.at(err)
		}
		complete(r, v, s, p)
		if err := validate(r); err != nil {
			return nil, words.at(err)
		}
		v.Routes = append(v.Routes, r)
	}
	if s.Routes == nil {
		r := &routepb.Route{Name: "default", Match: anyPath(), Action: toCluster(outboundName(p.Port, "", s.Host))}
		complete(r, v, s, p)
		v.Routes = []*routepb.Route{r}
	}
	return v, nil
}

func hostPort(s *service, p *port) string { return s.Host + ":" + strconv.Itoa(int(p.Port)) }

func anyPath() *routepb.RouteMatch {
	return &routepb.RouteMatch{PathSpecifier: &routepb.RouteMatch_Prefix{Prefix: "/"}}
}

func toCluster(name string) *routepb.Route_Route {
	return &routepb.Route_Route{Route: &routepb.RouteAction{ClusterSpecifier: &routepb.RouteAction_Cluster{Cluster: name}}}
}

// complete adds to a route what istiod adds to every outbound one, where it says nothing itself: no
// timeout, its retry policy, no limit on grpc-timeout, and the operation's name.
func complete(r *routepb.Route, v *routepb.VirtualHost, s *service, p *port) {
	if r.GetDecorator() == nil {
		r.Decorator = &routepb.Decorator{Operation: hostPort(s, p) + "/*"}
	}
	a := r.GetRoute()
	if a == nil {
		return
	}
	if a.GetTimeout() == nil {
		a.Timeout = durationpb.New(0)
	}
	if a.GetRetryPolicy() == nil && v.GetRetryPolicy() == nil && v.GetRetryPolicyTypedConfig() == nil {
		a.RetryPolicy = defaultRetries()
	}
	unlimitGRPC(a)
}

// unlimitGRPC sets max_grpc_timeout, which is deprecated and what istiod sends all the same.
func unlimitGRPC(a *routepb.RouteAction) {
	if a.GetMaxStreamDuration() == nil && a.GetMaxGrpcTimeout() == nil { //nolint:staticcheck // what istiod sends.
		a.MaxGrpcTimeout = durationpb.New(0) //nolint:staticcheck // what istiod sends.
	}
}

func defaultRetries() *routepb.RetryPolicy {
	return &routepb.RetryPolicy{
		RetryOn:    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
		NumRetries: wrapperspb.UInt32(2),
		RetryHostPredicate: []*routepb.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routepb.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: packed(&prevpb.PreviousHostsPredicate{})},
		}},
		HostSelectionRetryMaxAttempts: 5,
	}
}

// domains are the names by which a service is called from a namespace, as istiod lists them: the host,
// with a trailing dot too, the short forms that resolve there, and the virtual address.
func (m *mesh) domains(s *service, namespace string) []string {
	all := []string{s.Host, s.Host + "."}
	if s.inMesh(m.Settings.Domain) {
		inNamespace := s.Name + "." + s.Namespace
		if namespace == s.Namespace {
			all = append(all, s.Name)
		}
		all = append(all, inNamespace+".svc", inNamespace)
		if namespace != s.Namespace {
			slices.Reverse(all[2:])
		}
	}
	if addr, err := netip.ParseAddr(s.VIP); err == nil {
		if addr.Is6() {
			all = append(all, "["+s.VIP+"]")
		} else {
			all = append(all, s.VIP)
		}
	}
	return all
}

// withoutDuplicates keeps each domain with the first virtual host that has it: Envoy rejects a second.
func withoutDuplicates(hosts []*routepb.VirtualHost) []*routepb.VirtualHost {
	seen := map[string]bool{"*": true}
	kept := hosts[:0]
	for _, v := range hosts {
		v.Domains = slices.DeleteFunc(v.GetDomains(), func(d string) bool {
			had := seen[strings.ToLower(d)]
			seen[strings.ToLower(d)] = true
			return had
		})
		if len(v.GetDomains()) > 0 {
			kept = append(kept, v)
		}
	}
	return kept
}

// anyHost is the last virtual host: what happens to a host that is no service.
func (m *mesh) anyHost() *routepb.VirtualHost {
	if m.Settings.OutboundPolicy == outboundRegistry {
		return &routepb.VirtualHost{Name: "block_all", Domains: []string{"*"}, IncludeRequestAttemptCount: true, Routes: []*routepb.Route{{
			Name: "block_all", Match: anyPath(),
			Action: &routepb.Route_DirectResponse{DirectResponse: &routepb.DirectResponseAction{Status: 502}},
		}}}
	}
	action := toCluster(passthrough)
	action.Route.Timeout = durationpb.New(0)
	unlimitGRPC(action.Route)
	return &routepb.VirtualHost{Name: "allow_any", Domains: []string{"*"}, IncludeRequestAttemptCount: true, Routes: []*routepb.Route{{
		Name: "allow_any", Match: anyPath(), Action: action,
	}}}
}

// inboundRoutes lead everything to the application.
func inboundRoutes(config, host, cluster, operation string) *routepb.RouteConfiguration {
	action := toCluster(cluster)
	action.Route.Timeout = durationpb.New(0)
	action.Route.RetryPolicy = &routepb.RetryPolicy{RetryOn: "reset-before-request", NumRetries: wrapperspb.UInt32(2)}
	action.Route.MaxStreamDuration = &routepb.RouteAction_MaxStreamDuration{
		MaxStreamDuration: durationpb.New(0), GrpcTimeoutHeaderMax: durationpb.New(0),
	}
	return &routepb.RouteConfiguration{
		Name: config,
		VirtualHosts: []*routepb.VirtualHost{{Name: host, Domains: []string{"*"}, Routes: []*routepb.Route{{
			Name: "default", Match: anyPath(), Action: action, Decorator: &routepb.Decorator{Operation: operation},
		}}}},
		ValidateClusters: wrapperspb.Bool(false),
	}
}

// generated makes resources of what was built, which must keep to the rules of its protos.
func (m *mesh) generated(at *node, all ...proto.Message) ([]resource, error) {
	var made []resource
	for _, msg := range all {
		r, err := newResource(msg)
		if err == nil {
			err = validate(msg)
		}
		if err != nil {
			return nil, at.at(fmt.Errorf("%s %q: %w", short(r.typeURL), r.name, err))
		}
		r.at = at
		made = append(made, r)
	}
	return made, nil
}

// adsSource is where all of a sidecar's resources come from. 0 s waits for them for ever.
func adsSource() *corepb.ConfigSource {
	return &corepb.ConfigSource{
		ConfigSourceSpecifier: &corepb.ConfigSource_Ads{Ads: &corepb.AggregatedConfigSource{}},
		InitialFetchTimeout:   durationpb.New(0),
		ResourceApiVersion:    corepb.ApiVersion_V3,
	}
}
