package lb

import (
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func TestOverrideHostGoesByHealth(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, h{}, h{flags: down}, h{flags: endpoint.DegradedActiveHC})
	for _, c := range []struct {
		address  string
		strict   bool
		statuses StatusSet
		want     int
		final    bool
	}{
		{"10.0.0.0:80", false, DefaultStatuses, 0, true},
		{"10.0.0.1:80", false, DefaultStatuses, -1, false},
		{"10.0.0.1:80", true, DefaultStatuses, -1, true},
		{"10.0.0.1:80", false, 1 << endpoint.Unhealthy, 1, true},
		{"10.0.0.2:80", false, DefaultStatuses, 2, true},
		{"10.0.0.9:80", true, DefaultStatuses, -1, true},
		{"10.0.0.0:80", false, 0, -1, false},
		{"", false, DefaultStatuses, -1, false},
	} {
		host, final := Override(set, c.statuses, &Context{OverrideHost: c.address, OverrideStrict: c.strict})
		if (host == nil) != (c.want < 0) || host != nil && host != set.Hosts[c.want] || final != c.final {
			t.Errorf("%+v: %v %v", c, host, final)
		}
	}
}

func TestOverrideHostPolicyTakesOneAddressAnAttempt(t *testing.T) {
	set := hostSet(endpoint.SetOptions{}, h{flags: down}, h{}, h{})
	c := &Config{
		Kind: OverrideHost, Child: &Config{},
		Sources:     []Source{{Header: "x-ep"}, {Metadata: &MetadataKey{"envoy.lb", []string{"ep", "list"}}}},
		SelectedKey: &MetadataKey{"envoy.lb", []string{"picked", "host"}},
	}
	l := c.New(testEnv(), set, nil)
	var headers header.Map
	headers.Reset()
	headers.Add("x-ep", " 10.0.0.2:80, 10.9.9.9:80")
	info := &streaminfo.Info{Metadata: streaminfo.Metadata{"envoy.lb": {Fields: fields(t, `{"ep":{"list":"10.0.0.0:80"}}`)}}}
	ctx := &Context{Headers: &headers, Info: info}
	if l.Pick(ctx) != set.Hosts[2] {
		t.Error("the header's first")
	}
	if got := info.Metadata["envoy.lb"].GetFields()["picked"].GetStructValue().GetFields()["host"].GetStringValue(); got != "10.0.0.2:80" {
		t.Errorf("selected_host_key: %q", got)
	}
	if l.Pick(ctx) != set.Hosts[0] {
		t.Error("the retry goes to the next one that is a host, whatever its health")
	}
	for range 4 {
		if h := l.Pick(ctx); h != set.Hosts[1] && h != set.Hosts[2] {
			t.Error("then the fallback policy picks")
		}
	}
	if h := l.Pick(&Context{}); h == nil || h == set.Hosts[0] {
		t.Error("no list")
	}
}
