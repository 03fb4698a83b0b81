package cluster

import (
	"strings"
	"sync"
	"testing"

	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

// fixture is a manager with the snapshot that it was given last.
type fixture struct {
	testing.TB
	m     *Manager
	store *stats.Store
	s     *xds.Snapshot

	mu    sync.Mutex
	pools []*testPool
	warm  int
	// answer makes the streams of pools; nil: there are none.
	answer func(*testPool) (pool.Stream, *pool.Error)
}

type testPool struct {
	pool.Pool
	f              *fixture
	cfg            pool.Config
	drains, closes int
}

func (p *testPool) Drain() { p.f.mu.Lock(); defer p.f.mu.Unlock(); p.drains++ }
func (p *testPool) Close() { p.f.mu.Lock(); defer p.f.mu.Unlock(); p.closes++ }

func newFixture(t testing.TB, change func(*ManagerOptions)) *fixture {
	t.Helper()
	f := &fixture{TB: t, s: &xds.Snapshot{}, store: stats.NewStore(2)}
	o := ManagerOptions{
		Stats: f.store, Runtime: runtime.New(), OnWarm: func() { f.mu.Lock(); defer f.mu.Unlock(); f.warm++ },
		NewPool: func(cfg pool.Config) pool.Pool {
			f.mu.Lock()
			defer f.mu.Unlock()
			p := &testPool{f: f, cfg: cfg}
			f.pools = append(f.pools, p)
			return p
		},
	}
	if change != nil {
		change(&o)
	}
	f.m = NewManager(o)
	t.Cleanup(f.m.Close)
	return f
}

func resource[T any](t testing.TB, typ xds.Type[T], m proto.Message) *xds.Resource {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	name, v, refs, err := typ.Decoder().Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	return &xds.Resource{Name: name, Any: a, Value: v, Refs: refs, Version: "v1"}
}

// put adds clusters to the snapshot; assign adds assignments; del takes clusters away; apply hands the
// snapshot to the manager.
func (f *fixture) put(clusters ...string) *fixture {
	f.Helper()
	var c xds.Change
	for _, json := range clusters {
		c.Put = append(c.Put, resource(f.TB, Type(Options{}), clusterProto(f.TB, json)))
	}
	f.s = f.s.With(xds.ClusterURL, c)
	return f
}

func (f *fixture) assign(assignments ...string) *fixture {
	f.Helper()
	var c xds.Change
	for _, json := range assignments {
		p := &endpointpb.ClusterLoadAssignment{}
		if err := protojson.Unmarshal([]byte(json), p); err != nil {
			f.Fatal(err)
		}
		c.Put = append(c.Put, resource(f.TB, endpoint.Type(), p))
	}
	f.s = f.s.With(xds.EndpointURL, c)
	return f
}

func (f *fixture) del(names ...string) *fixture {
	f.s = f.s.With(xds.ClusterURL, xds.Change{Remove: names})
	return f
}

func (f *fixture) apply() *fixture {
	f.m.Apply(f.s)
	return f
}

func (f *fixture) get(name string) *Cluster {
	f.Helper()
	c := f.m.Set().Get(name)
	if c == nil {
		f.Fatalf("no cluster %q", name)
	}
	return c
}

// want checks a stat's value; the name is below "cluster." unless it says otherwise.
func (f *fixture) want(name string, value uint64) {
	f.Helper()
	prefix := "cluster."
	if strings.HasPrefix(name, "cluster_manager.") {
		prefix = ""
	}
	got, ok := f.stat(prefix + name)
	if !ok {
		f.Errorf("%s is not listed", name)
	} else if got != value {
		f.Errorf("%s is %d, want %d", name, got, value)
	}
}

func (f *fixture) stat(name string) (value uint64, ok bool) {
	for s := range f.store.All(stats.KindCounter, stats.KindGauge) {
		if string(s.Name()) == name {
			return s.Value(), true
		}
	}
	return 0, false
}

const edsCluster = `{"name":"e","type":"EDS","eds_cluster_config":{"eds_config":{"ads":{}}}`

// eds is an assignment for e with hosts at 10.0.0.N:80, each with more fields if it is "N fields".
func eds(hosts ...string) string {
	var list []string
	for _, h := range hosts {
		n, fields, _ := strings.Cut(h, " ")
		if fields != "" {
			fields = "," + fields
		}
		list = append(list, `{"endpoint":{"address":{"socket_address":{"address":"10.0.0.`+n+`","port_value":80}}}`+fields+`}`)
	}
	return `{"cluster_name":"e","endpoints":[{"lb_endpoints":[` + strings.Join(list, ",") + `]}]}`
}

func addresses(c *Cluster) string {
	var out []string
	for _, h := range c.HostSet().Hosts {
		out = append(out, strings.TrimPrefix(strings.TrimSuffix(h.Address.String(), ":80"), "10.0.0."))
	}
	return strings.Join(out, " ")
}
