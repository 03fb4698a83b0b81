package peer

import (
	"encoding/base64"
	"net/netip"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
	"github.com/pillion-proxy/pillion/dataplane/workload"
)

// sample is a header that Istio's Envoy has sent (reference/admin-samples/mx-sample.txt).
const sample = "ChoKCkNMVVNURVJfSUQSDBoKS3ViZXJuZXRlcwqUAQoGTEFCRUxTEokBKoYBChQKA2FwcBINGgtwcm9kdWN0cGFnZQowCh9zZXJ2aWNlLmlzdGlvLmlvL2Nhbm9uaWNhbC1uYW1lEg0aC3Byb2R1Y3RwYWdlCisKI3NlcnZpY2UuaXN0aW8uaW8vY2Fub25pY2FsLXJldmlzaW9uEgQaAnYxCg8KB3ZlcnNpb24SBBoCdjEKGgoETkFNRRISGhBwcm9kdWN0cGFnZS12MS0wChYKCU5BTUVTUEFDRRIJGgdkZWZhdWx0ClIKBU9XTkVSEkkaR2t1YmVybmV0ZXM6Ly9hcGlzL2FwcHMvdjEvbmFtZXNwYWNlcy9kZWZhdWx0L2RlcGxveW1lbnRzL3Byb2R1Y3RwYWdlLXYxCiEKDVdPUktMT0FEX05BTUUSEBoOcHJvZHVjdHBhZ2UtdjE="

func structOf(t *testing.T, text string) *structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func productpage() *Peer {
	return &Peer{Instance: "productpage-v1-0", Workload: "productpage-v1", Type: Deployment, Namespace: "default", Cluster: "Kubernetes",
		Canonical: "productpage", Revision: "v1", App: "productpage", Version: "v1"}
}

func same(t *testing.T, what string, got, want *Peer) {
	t.Helper()
	got.state.Store(nil)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v\nwant %+v", what, got, want)
	}
}

func TestMetadataIsIstiosByteForByte(t *testing.T) {
	b, err := base64.StdEncoding.DecodeString(sample)
	if err != nil {
		t.Fatal(err)
	}
	s := &structpb.Struct{}
	if err := proto.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	p := FromMetadata(s, nil)
	same(t, "the sample", p, productpage())
	if got := base64.StdEncoding.EncodeToString(Marshal(p.Metadata())); got != sample {
		t.Errorf("%s\nwant %s", got, sample)
	}
}

func TestFromNode(t *testing.T) {
	node := &filter.Node{Region: "r", Zone: "z", Metadata: structOf(t, `{"NAME":"a-0","WORKLOAD_NAME":"a","NAMESPACE":"ns","CLUSTER_ID":"c","OWNER":"kubernetes://apis/apps/v1/namespaces/ns/jobs/a",
		"LABELS":{"app":"short","app.kubernetes.io/name":"long","version":"1","role":"x","service.istio.io/canonical-name":"cn"},"INSTANCE_IPS":"10.0.0.1"}`)}
	same(t, "additional labels", FromNode(node, []string{"role", "version", "absent"}), &Peer{Instance: "a-0", Workload: "a", Type: Job, Namespace: "ns", Cluster: "c",
		Canonical: "cn", App: "long", Version: "1", Region: "r", Zone: "z", Labels: []Label{{"role", "x"}}})
	same(t, "no metadata", FromNode(&filter.Node{}, nil), &Peer{})
	node.Metadata.Fields["REGION"] = structpb.NewStringValue("told")
	if p := FromNode(node, nil); p.Region != "told" {
		t.Errorf("region %q", p.Region)
	}
}

func TestOwnerType(t *testing.T) {
	const ns = "kubernetes://apis/apps/v1/namespaces/default/"
	for owner, want := range map[string]Type{
		ns + "deployments/w": Deployment, ns + "pods/w": Pod, ns + "jobs/w": Job, ns + "cronjobs/w": CronJob, ns + "daemonsets/w": "", "": "", "s/w": "", "deployments/w": "",
	} {
		if got := ownerType(owner, "w"); got != want {
			t.Errorf("%q is a %q, want %q", owner, got, want)
		}
	}
}

func TestBaggage(t *testing.T) {
	p := productpage()
	p.App, p.Region, p.Zone = "pp", "r", "z"
	const want = "k8s.deployment.name=productpage-v1,service.name=productpage,app.name=pp,service.version=v1,k8s.namespace.name=default,k8s.cluster.name=Kubernetes,k8s.instance.name=productpage-v1-0,cloud.region=r,cloud.availability_zone=z"
	if got := p.Baggage(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	same(t, "back", FromBaggage(want, ""), p)
	same(t, "service alone", FromBaggage("service.name=s,service.version=2,other=x,bad", "spiffe://a"), &Peer{Canonical: "s", App: "s", Revision: "2", Version: "2", Identity: "spiffe://a"})
	same(t, "app alone", FromBaggage("app.name=a,app.version=1,k8s.cronjob.name=j", ""), &Peer{Canonical: "a", App: "a", Revision: "1", Version: "1", Workload: "j", Type: CronJob})
	if got := (&Peer{Workload: "w"}).Baggage(); got != "k8s.pod.name=w" {
		t.Errorf("a workload of no type: %s", got)
	}
}

func TestFromEndpoint(t *testing.T) {
	same(t, "a workload", FromEndpoint("w;ns;cn;v1;c"), &Peer{Workload: "w", Namespace: "ns", Canonical: "cn", Revision: "v1", Cluster: "c"})
	same(t, "a gateway", FromEndpoint(";;;;Kubernetes"), &Peer{Cluster: "Kubernetes"})
	if FromEndpoint("w;ns;cn;v1") != nil || FromEndpoint("") != nil {
		t.Error("less than five parts are taken")
	}
}

func TestDiscoveredPeerIsMadeOnce(t *testing.T) {
	w := &workload.Workload{Name: "w-0", Owner: "w", Kind: workload.Pod, Namespace: "ns", Cluster: "c", CanonicalName: "cn", CanonicalRevision: "v1", Identity: "spiffe://x"}
	p, _ := w.Derived(fromWorkload).(*Peer)
	if again, _ := w.Derived(fromWorkload).(*Peer); again != p {
		t.Error("it is made twice")
	}
	same(t, "a pod", p, &Peer{Instance: "w-0", Workload: "w", Type: Pod, Namespace: "ns", Cluster: "c", Canonical: "cn", Revision: "v1", App: "cn", Version: "v1", Identity: "spiffe://x"})
	if Discover(nil, netip.MustParseAddr("10.0.0.1")) != nil {
		t.Error("without workload discovery something was found")
	}
}

func TestUpstreamAddr(t *testing.T) {
	meta := streaminfo.Metadata{"envoy.filters.listener.original_dst": structOf(t, `{"local":"10.9.9.9:80"}`), "istio": structOf(t, `{"double_hbone":{}}`)}
	for _, c := range []struct {
		u      streaminfo.Upstream
		want   string
		remote bool
	}{
		{streaminfo.Upstream{Host: "10.0.0.1:80", HostMetadata: meta}, "10.0.0.1", false},
		{streaminfo.Upstream{Host: "[fd00::1]:80"}, "fd00::1", false},
		{streaminfo.Upstream{Host: "envoy://connect_originate/10.0.0.1:80", HostMetadata: meta}, "10.9.9.9", true},
		{streaminfo.Upstream{Host: "/tmp/socket"}, "invalid IP", false},
		{streaminfo.Upstream{Remote: netip.MustParseAddrPort("10.0.0.3:80")}, "10.0.0.3", false},
	} {
		if got := UpstreamAddr(&c.u).String(); got != c.want || Remote(&c.u) != c.remote {
			t.Errorf("%s: %s, %v", c.u.Host, got, Remote(&c.u))
		}
	}
	u := &streaminfo.Upstream{Host: "envoy://connect_originate/x", HostMetadata: meta}
	if n := testing.AllocsPerRun(100, func() { UpstreamAddr(u) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSkips(t *testing.T) {
	external, disabled := streaminfo.Metadata{"istio": structOf(t, `{"external":true}`)}, streaminfo.Metadata{"istio": structOf(t, `{"disable_mx":true}`)}
	for _, c := range []struct {
		name string
		m    streaminfo.Metadata
		skip bool
		want bool
	}{
		{"c", nil, true, false},
		{"c", external, true, true},
		{"c", external, false, false},
		{"c", disabled, false, true},
		{"PassthroughCluster", nil, true, true},
		{"PassthroughCluster", nil, false, false},
	} {
		if got := Skips(c.name, c.m, c.skip); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if !KeepsALPN(streaminfo.Metadata{"istio": structOf(t, `{"alpn_override":"false"}`)}) || KeepsALPN(external) || KeepsALPN(nil) {
		t.Error("KeepsALPN")
	}
}

func TestFilterStateForms(t *testing.T) {
	p := productpage()
	p.Labels = []Label{{"role", "x"}}
	want := structOf(t, `{"type":"deployment","workload":"productpage-v1","name":"productpage-v1-0","cluster":"Kubernetes","namespace":"default","service":"productpage",
		"revision":"v1","app":"productpage","version":"v1","labels":{"role":"x"}}`)
	if got := p.State(); !proto.Equal(got, want) {
		t.Errorf("State = %v", got)
	}
	const text = "type=deployment,workload=productpage-v1,name=productpage-v1-0,cluster=Kubernetes,namespace=default,service=productpage,revision=v1,app=productpage,version=v1,labels[]role=x"
	if got := p.FilterStateString(); got != text {
		t.Errorf("%s\nwant %s", got, text)
	}
	for name, want := range map[string]string{"workload": "productpage-v1", "namespace": "default", "cluster": "Kubernetes", "service": "productpage", "revision": "v1",
		"app": "productpage", "version": "v1", "type": "deployment", "name": "productpage-v1-0", "region": "", "availability_zone": ""} {
		if v, ok := p.FilterStateField(name); !ok || v != want {
			t.Errorf("FIELD:%s = %q, %v", name, v, ok)
		}
	}
	if _, ok := p.FilterStateField("labels"); ok {
		t.Error("there is no field labels")
	}
	if v, _ := (&Peer{}).FilterStateField("type"); v != "unknown" {
		t.Errorf("no type is %q", v)
	}
}

func TestSlotIsKnownWhenItIsSet(t *testing.T) {
	var s streaminfo.FilterState
	slot := &Slot{}
	Put(&s, true, slot, streaminfo.SharedNone)
	if p, known := FindIn(&s, true); p != nil || known || slot.FilterStateJSON() != nil || slot.FilterStateString() != "" {
		t.Error("something is known")
	}
	slot.Set(nil)
	if p, known := FindIn(&s, true); p != nil || !known {
		t.Error("that there is none is not known")
	}
	slot.Set(productpage())
	if p, _ := FindIn(&s, true); p == nil || slot.FilterStateJSON() == nil {
		t.Error("the peer is not known")
	}
	if v, ok := slot.FilterStateField("app"); !ok || v != "productpage" {
		t.Error("its fields are not known")
	}
	Put(&s, true, productpage(), streaminfo.SharedNone)
	if s.Get(DownstreamKey) != any(slot) {
		t.Error("the first peer is replaced")
	}
	var none streaminfo.FilterState
	PutNotFound(&none)
	if _, known := FindIn(&none, false); !known {
		t.Error("peer_not_found is not looked at")
	}
}

func TestFindLooksInTheConnectionToo(t *testing.T) {
	conn := &streaminfo.Connection{}
	i := &streaminfo.Info{Conn: conn}
	Put(&conn.FilterState, true, productpage(), streaminfo.SharedNone)
	if p, known := Find(i, true); p == nil || !known {
		t.Error("the connection's peer is not found")
	}
	if _, known := Find(i, false); known {
		t.Error("the other side's is known")
	}
	if n := testing.AllocsPerRun(100, func() { Find(i, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
