package route

import (
	"errors"
	"fmt"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

// Compile compiles a RouteConfiguration. It keeps nothing of rc but strings.
func Compile(rc *routepb.RouteConfiguration, o Options) (*Table, error) {
	if err := rc.Validate(); err != nil {
		return nil, constraint(err)
	}
	c := &compiler{o: o, t: &Table{}, maxDirectBody: defaultDirectBody, plugins: map[string]*routepb.ClusterSpecifierPlugin{},
		filterValues: map[string]any{}, actions: map[string]*Action{}}
	if err := c.table(rc); err != nil {
		return nil, err
	}
	return c.t, nil
}

// compiler is what compiling one RouteConfiguration keeps in mind. Its maps hold what was compiled
// before, by its bytes: a mesh says the same of thousands of routes.
type compiler struct {
	o               Options
	t               *Table
	mostSpecific    bool
	checkClusters   bool
	maxDirectBody   uint64
	plugins         map[string]*routepb.ClusterSpecifierPlugin
	request         *mutation // of the configuration
	response        *mutation
	filterValues    map[string]any
	actions         map[string]*Action
	noAction        *Action
	inheritedKey    string // what the current virtual host hands down, as bytes
	configInherited inherited
}

func (c *compiler) table(rc *routepb.RouteConfiguration) error {
	t := c.t
	t.Name = rc.GetName()
	switch {
	case rc.GetVhds() != nil:
		return unsupported("RouteConfiguration.vhds")
	case len(rc.GetRouteSpecifiers()) > 0:
		return unregisteredSpecifier(rc.GetRouteSpecifiers()[0])
	}
	c.mostSpecific = rc.GetMostSpecificHeaderMutationsWins()
	c.checkClusters = c.o.ValidateClusters
	if v := rc.GetValidateClusters(); v != nil {
		c.checkClusters = v.GetValue()
	}
	if v := rc.GetMaxDirectResponseBodySizeBytes(); v != nil {
		c.maxDirectBody = uint64(v.GetValue())
	}
	for _, p := range rc.GetClusterSpecifierPlugins() {
		c.plugins[p.GetExtension().GetName()] = p
		if err := c.checkPlugin(p); err != nil {
			return err
		}
	}
	for _, name := range rc.GetInternalOnlyHeaders() {
		t.InternalOnlyHeaders = append(t.InternalOnlyHeaders, lowerString(name))
	}
	t.hostHeader, t.ignorePort, t.ignoreSemi = lowerString(rc.GetVhostHeader()), rc.GetIgnorePortInHostMatching(), rc.GetIgnorePathParametersInPathMatching()
	t.metadata = compileLazyMetadata(rc.GetMetadata())
	var err error
	if t.filters, err = c.perFilter(rc.GetTypedPerFilterConfig()); err != nil {
		return err
	}
	if c.request, err = c.o.mutation(rc.GetRequestHeadersToAdd(), rc.GetRequestHeadersToRemove(), true); err != nil {
		return err
	}
	if c.response, err = c.o.mutation(rc.GetResponseHeadersToAdd(), rc.GetResponseHeadersToRemove(), false); err != nil {
		return err
	}
	if c.configInherited.mirrors, err = c.mirrors(rc.GetRequestMirrorPolicies()); err != nil {
		return err
	}
	if c.noAction, err = c.action(&routepb.RouteAction{}, &pathMatch{}, inherited{}); err != nil {
		return err
	}
	return c.virtualHosts(rc.GetVirtualHosts())
}

func (c *compiler) virtualHosts(ps []*routepb.VirtualHost) error {
	c.t.VirtualHosts = make([]*VirtualHost, 0, len(ps))
	d := newDomainsCompiler(c.t.Name)
	for _, p := range ps {
		v, err := c.virtualHost(p)
		if err != nil {
			return err
		}
		c.t.VirtualHosts = append(c.t.VirtualHosts, v)
		if err := d.add(p.GetDomains(), v); err != nil {
			return err
		}
	}
	c.t.domains = d.finish()
	return nil
}

// clusterExists refuses a cluster that there is not, where validate_clusters asks.
func (c *compiler) clusterExists(what, name string) error {
	if !c.checkClusters || c.o.HasCluster == nil || name == "" || c.o.HasCluster(name) {
		return nil
	}
	return fmt.Errorf("route: unknown %s '%s'", what, name)
}

// marshal is the key under which what a message compiles to is kept.
func marshal(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return ""
	}
	return string(b)
}

func unregisteredSpecifier(x matcher.Extension) error {
	return errors.New(strings.Replace(matcher.Unregistered(x).Error(), "registered implementation", "registered route specifier implementation", 1))
}

// constraint words an error of the generated validation as Envoy does: Go's says "invalid A.B: … | caused
// by: …" and counts runes.
func constraint(err error) error {
	s := strings.ReplaceAll(err.Error(), " | caused by: ", " | caused by ")
	parts := strings.Split(s, " | caused by ")
	for i, p := range parts {
		p = strings.TrimPrefix(p, "invalid ")
		p = strings.Replace(p, "runes", "characters", 1)
		name, rest, ok := strings.Cut(p, ".")
		field, reason, _ := strings.Cut(rest, ": ")
		switch {
		case ok && reason == "value is required" && field != "" && isOneof(field):
			parts[i] = fmt.Sprintf("field: %q, reason: is required", snake(field))
		case ok && !strings.ContainsAny(name, " :"):
			parts[i] = name + "ValidationError." + rest
		default:
			parts[i] = p
		}
	}
	return fmt.Errorf("Proto constraint validation failed (%s)", strings.Join(parts, " | caused by "))
}

// isOneof tells the oneofs of these messages, which Envoy words in another way than fields.
func isOneof(field string) bool {
	switch field {
	case "PathSpecifier", "Action", "ClusterSpecifier", "MatchPattern", "PolicySpecifier", "Matcher", "Specifier", "Type", "ActionSpecifier", "OverrideSpecifier", "Format":
		return true
	}
	return false
}

// snake is a Go name as the proto has it.
func snake(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i]-'A' < 26 && i > 0 {
			b.WriteByte('_')
		}
		b.WriteByte(lower(s[i]))
	}
	return b.String()
}
