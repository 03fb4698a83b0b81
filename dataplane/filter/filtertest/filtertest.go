// Package filtertest runs HTTP filters without a server: a chain of them on streams that it makes, before
// an upstream that answers as it is told. Scenarios can be recorded on the real Envoy, to compare with.
package filtertest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/cluster"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest/envoytest"
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/route"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

// Prefix is the stat prefix of the connection manager that there is none of.
const Prefix = "http.t."

// Harness is a filter chain with what it needs to live.
type Harness struct {
	Server   *filter.Server
	Registry *filter.Registry
	Context  *filter.Context
	Table    *route.Table
	Chain    *filter.HTTPChain
	// Up is the upstream.
	Up *Upstream

	scenario *envoytest.Scenario
	log      formatter.Formatter
}

// New brings the scenario's filters to life. It fails the test if they are refused.
func New(t testing.TB, s *envoytest.Scenario, extensions ...any) *Harness {
	t.Helper()
	h, err := Build(t, s, extensions...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Build is New for configurations that may be refused.
func Build(t testing.TB, s *envoytest.Scenario, extensions ...any) (*Harness, error) {
	t.Helper()
	h := &Harness{Registry: filter.NewRegistry(extensions...), scenario: s, Up: &Upstream{}}
	h.serve(t, s)
	format := envoytest.LogFormat
	if s.Log != "" {
		format += " " + s.Log
	}
	var err error
	if h.log, err = formatter.Compile(format, h.Registry.Logs().Format); err != nil {
		t.Fatal(err)
	}
	var rc routepb.RouteConfiguration
	unmarshal(t, s.RouteConfig(), &rc)
	if h.Table, err = route.Compile(&rc, h.Registry.Routes(true)); err != nil {
		return nil, err
	}
	var entries []filter.Entry
	for _, raw := range s.Filters {
		var f hcmpb.HttpFilter
		unmarshal(t, raw, &f)
		c, _, err := h.Registry.HTTP(f.GetName(), f.GetTypedConfig())
		if err != nil {
			return nil, err
		}
		factory, err := c.Build(h.Context.Named(f.GetName()))
		if err != nil {
			return nil, fmt.Errorf("HTTP filter %q: %w", f.GetName(), err)
		}
		entries = append(entries, filter.Entry{Name: f.GetName(), Factory: factory, Disabled: f.GetDisabled()})
	}
	entries = append(entries, filter.Entry{Name: "upstream", Factory: func(*filter.Stream) filter.HTTP { return h.Up }})
	h.Chain = filter.NewChain(entries)
	return h, nil
}

// serve makes the server, with a cluster called "up" of one host.
func (h *Harness) serve(t testing.TB, s *envoytest.Scenario) {
	t.Helper()
	store := stats.NewStore(1)
	rt := runtime.New(runtime.Layer{Name: "static", Values: texts(s.Runtime)}, runtime.Layer{Name: "admin", Admin: true})
	log := slog.New(slog.DiscardHandler)
	m := cluster.NewManager(cluster.ManagerOptions{Stats: store, Runtime: rt, NewPool: func(pool.Config) pool.Pool { return nil }, Log: log})
	t.Cleanup(m.Close)
	m.Apply((&xds.Snapshot{}).With(xds.ClusterURL, xds.Change{Put: []*xds.Resource{upCluster(t)}}))
	files := accesslog.NewFiles(accesslog.FilesOptions{})
	h.Server = &filter.Server{Stats: store, Clusters: m.Set(), Runtime: rt, Log: log, Files: files, Workers: 1, Routes: route.NewHandles(),
		Node: filter.Node{ID: "test-node", Cluster: "test-cluster"}, Failing: func() bool { return false }}
	h.Context = (&filter.Context{Server: h.Server, Scope: store.Scope("listener.127.0.0.1_80")}).Below(Prefix)
	t.Cleanup(h.Context.Close)
}

func upCluster(t testing.TB) *xds.Resource {
	t.Helper()
	var c clusterpb.Cluster
	unmarshal(t, []byte(`{"name": "up", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "up", "endpoints":
		[{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 8080}}}}]}]}}`), &c)
	a, err := anypb.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	name, v, err := cluster.Type(cluster.Options{}).Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	return &xds.Resource{Name: name, Any: a, Value: v}
}

func texts(values map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range values {
		out[k] = fmt.Sprint(v)
	}
	return out
}

func unmarshal(t testing.TB, b []byte, m proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
}

// Stat is the value of a counter or gauge; 0 where there is none.
func (h *Harness) Stat(name string) uint64 { return h.stats(func(n string) bool { return n == name })[name] }

func (h *Harness) stats(want func(name string) bool) map[string]uint64 {
	out := map[string]uint64{}
	for s := range h.Server.Stats.All(stats.KindCounter, stats.KindGauge) {
		if name := string(s.Name()); s.Used() && want(name) {
			out[name] = s.Value()
		}
	}
	return out
}

// Do sends one request through the chain and returns what becomes of it.
func (h *Harness) Do(t testing.TB, st *envoytest.Step) envoytest.Outcome {
	t.Helper()
	if len(st.Runtime) > 0 {
		h.Server.Runtime.Modify(st.Runtime)
	}
	s := h.Stream(&st.Request)
	h.Up.prepare(&st.Upstream)
	h.Chain.Run(s)
	o := h.outcome(s)
	h.Complete(s)
	s.Entry.Request, s.Entry.Response, s.Entry.Info = &s.Request.Map, &s.Response.Map, &s.Info
	o.Name, o.Log = st.Name, string(h.log.AppendContext(nil, &s.Entry))
	h.scenario.Tidy(&o)
	s.Reset()
	return o
}

// Complete ends a stream as the connection manager does.
func (h *Harness) Complete(s *filter.Stream) {
	s.Info.RequestComplete = s.Info.Now()
	h.Chain.Complete(s)
}

// outcome reads the response, which may fail on the way.
func (h *Harness) outcome(s *filter.Stream) envoytest.Outcome {
	r := &s.Response
	s.Info.ResponseCode = r.Status
	o := envoytest.Outcome{Status: r.Status, Headers: headerLines(r.Fields())}
	if b := r.Body; b != nil {
		body, err := readAll(b)
		if err != nil {
			body += "<" + err.Error() + ">"
		}
		o.Body, o.Trailers = body, trailerLines(b)
	}
	if s.Request.Method == "HEAD" {
		o.Body = ""
	}
	o.Upstream = h.Up.take()
	return o
}

// Config is a scenario of one filter with a JSON or YAML-free configuration: for tests that need no file.
func Config(name, typedConfig string) *envoytest.Scenario {
	f := fmt.Sprintf(`{"name": %q, "typed_config": %s}`, name, typedConfig)
	s := &envoytest.Scenario{Filters: []json.RawMessage{json.RawMessage(f)}}
	s.Fill()
	return s
}

// now is when streams begin.
func now() time.Time { return time.Now() }

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

func splitLine(line string) (name, value string) {
	name, value, _ = strings.Cut(line, ":")
	return strings.ToLower(name), strings.TrimSpace(value)
}
