package route

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// recorded is a random route configuration, and what Envoy 1.40 answered to random requests: the body of
// the direct response, which is the route's name, or a status.
type recorded struct {
	Config   json.RawMessage
	Requests []struct {
		Method, Path, Host string
		H                  [][2]string
		Want               string
	}
}

func readRecorded(t *testing.T, name string, to any) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(to); err != nil {
		t.Fatal(err)
	}
}

func TestMatchesWhatEnvoyMatched(t *testing.T) {
	var all []recorded
	readRecorded(t, "match.json.gz", &all)
	for n, r := range all {
		rc := &routepb.RouteConfiguration{}
		if err := protojson.Unmarshal(r.Config, rc); err != nil {
			t.Fatal(err)
		}
		table, err := Compile(rc, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range r.Requests {
			h := &header.Map{Method: q.Method, Path: q.Path, Authority: q.Host, HasAuthority: true, Scheme: "http"}
			for _, kv := range q.H {
				h.Add(kv[0], kv[1])
			}
			h.Add("x-forwarded-proto", "http")
			got := "404"
			if m := table.Match(h, &streaminfo.Info{}, 50, nil); m != nil {
				got = m.Name
			}
			if got != q.Want {
				t.Errorf("config %d: %s %s%s %q: %s, want %s", n, q.Method, q.Host, q.Path, q.H, got, q.Want)
			}
		}
	}
}

// mutated is a random configuration with header mutations on all levels, and what became of the headers
// of random requests (up) and responses (dn) in Envoy 1.40.
type mutated struct {
	Config   json.RawMessage
	Requests []struct {
		Path          string
		H, RH, Up, Dn [][2]string
	}
}

func TestMutatesAsEnvoy(t *testing.T) {
	var all []mutated
	readRecorded(t, "mutate.json.gz", &all)
	for n, r := range all {
		rc := &routepb.RouteConfiguration{}
		if err := protojson.Unmarshal(r.Config, rc); err != nil {
			t.Fatal(err)
		}
		table, err := Compile(rc, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range r.Requests {
			h, resp, i := mapOf(q.H), mapOf(q.RH), &streaminfo.Info{Protocol: streaminfo.HTTP11}
			h.Method, h.Path, h.Authority, h.HasAuthority = "GET", q.Path, "h.test", true
			m := table.Match(h, i, 0, nil)
			m.FinalizeRequest(h, i, false)
			resp.Status, i.ResponseCode = 200, 200
			m.FinalizeResponse(h, resp, i)
			for _, side := range []struct {
				what string
				got  *header.Map
				want [][2]string
			}{{"request", h, q.Up}, {"response", resp, q.Dn}} {
				if got, want := byName(side.got), byName(mapOf(side.want)); got != want {
					t.Errorf("config %d: %s of %s %q %q:\n%s, want\n%s", n, side.what, q.Path, q.H, q.RH, got, want)
				}
			}
		}
	}
}

func mapOf(kvs [][2]string) *header.Map {
	h := &header.Map{}
	for _, kv := range kvs {
		h.Add(kv[0], kv[1])
	}
	return h
}

// byName writes headers by name, the values of one name in order.
func byName(h *header.Map) string {
	out := ""
	for _, name := range []string{"x-a", "x-b", "x-c", "via", "cookie", "set-cookie", "cache-control", "x-envoy-z", "location", "accept"} {
		if l := lines(h, name); l != "" {
			out += l + " "
		}
	}
	return out
}
