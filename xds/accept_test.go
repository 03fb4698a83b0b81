package xds

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/anypb"
)

func TestGoodResourcesAreTakenAndBadOnesKeepTheirLast(t *testing.T) {
	for name, mk := range map[string]func(string, ...*anypb.Any) *Response{"SotW": sotw, "delta": delta} {
		t.Run(name, func(t *testing.T) {
			run(t, ads, func(h *harness) {
				h.start()
				h.wantDetails(h.take("", mk("1", cds("a", "1"), cds("b", "1"))), "")
				v := h.take("", mk("2", cds("a", "2"), cds("b", "bad 2"), cds("c", "2"), cds("d", "bad too")))
				h.wantDetails(v, "Error adding/updating cluster(s) b: bad 2, d: bad too")
				h.want(ClusterURL, "a=2", "b=1", "c=2")
				if got := h.last().Resource(ClusterURL, "b").Version; got != "1" {
					t.Errorf("b is of version %q, want 1", got)
				}
				if got := h.last().Version(ClusterURL); got != "2" {
					t.Errorf("version %q, want 2: it was taken in part", got)
				}
				var failed []string
				for n, f := range h.last().Failures(ClusterURL) {
					failed = append(failed, n+": "+f.Details+" "+f.Version)
				}
				slices.Sort(failed)
				if want := []string{"b: bad 2 2", "d: bad too 2"}; !slices.Equal(failed, want) {
					t.Errorf("failures %q, want %q", failed, want)
				}
				if name == "delta" && !slices.Equal(v.Rejected, []string{"b", "d"}) {
					t.Errorf("rejected %q", v.Rejected)
				}
				h.wantDetails(h.take("", mk("3", cds("a", "2"), cds("b", "1"), cds("c", "2"))), "")
				if name == "SotW" {
					for n := range h.last().Failures(ClusterURL) {
						t.Errorf("failure of %s is still there", n)
					}
				}
			})
		})
	}
}

func TestNACKTextsAreEnvoys(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.c.ClustersReady()
		synctest.Wait()
		v := h.take("", sotw("1", lds("l", "needs rds:r;rds:s"), lds("m", "bad thing"), lds("n", "bad, too"), lds("l", "twice")))
		h.wantDetails(v, "Error adding/updating listener(s) m: bad thing\nn: bad, too\nl: duplicate listener l found\n")
		h.wantDetails(h.take("", sotw("1", cds("a", "1"), cds("a", "2"))), "Error adding/updating cluster(s) a: duplicate cluster a found")
		h.want(ClusterURL, "a=1")
		h.wantDetails(h.take("", sotw("1", rds("r", "bad route"))), "bad route")
		h.wantDetails(h.take("", sotw("1", rds("r", "1"), rds("r", "2"), rds("nobody's", "bad"))), "")
		h.want(RouteURL, "r=1")
		h.wantDetails(h.take("", delta("2", rds("r", "2"), rds("r", "3"))), "duplicate name r found among added/updated resources")
		both := delta("2", rds("r", "2"))
		both.Removed = []string{"r"}
		h.wantDetails(h.take("", both), "duplicate name r found in the union of added+removed resources")
		h.want(RouteURL, "r=1")
		wrong := sotw("2", cds("b", "1"), rds("x", "1"))
		h.wantDetails(h.take("", wrong), RouteURL+" does not match the message-wide type URL "+ClusterURL+" in DiscoveryResponse")
		wrong = delta("2", cds("b", "1"), rds("x", "1"))
		h.wantDetails(h.take("", wrong), "Error adding/updating cluster(s) x: type URL "+RouteURL+" embedded in an individual Any does not match the message-wide type URL "+ClusterURL+" in DeltaDiscoveryResponse")
		h.wantDetails(h.take("", sotw("2", &anypb.Any{TypeUrl: ClusterURL, Value: []byte("panic")})), "internal error: decoder")
	})
}

func TestResourceThatCannotBeNamedRemovesNothing(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.take("", sotw("1", cds("a", "1"), cds("b", "1")))
		h.wantDetails(h.take("", sotw("2", cds("a", "2"), &anypb.Any{TypeUrl: ClusterURL, Value: []byte("garbage")})), "Unable to unpack")
		h.want(ClusterURL, "a=2", "b=1")
		h.wantDetails(h.take("", sotw("3", cds("a", "2"))), "")
		h.want(ClusterURL, "a=2")
	})
}

func TestNACKIsBounded(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		r := &Response{TypeURL: ClusterURL}
		for i := range 10000 {
			r.Resources = append(r.Resources, Received{Any: cds(fmt.Sprint("cluster", i), "bad "+strings.Repeat("x", 50))})
		}
		if n := len(h.take("", r).Details); n > 65<<10 {
			t.Errorf("%d bytes", n)
		}
	})
}

func TestUnchangedResourceIsTheSame(t *testing.T) {
	for name, mk := range map[string]func(string, ...*anypb.Any) *Response{"SotW": sotw, "delta": delta} {
		t.Run(name, func(t *testing.T) {
			run(t, ads, func(h *harness) {
				h.start()
				h.take("", mk("1", cds("a", "1"), cds("b", "1")))
				before, published := h.last().Resource(ClusterURL, "a"), h.published()
				h.take("", mk("2", cds("b", "1"), cds("a", "1")))
				if h.published() != published {
					t.Error("a snapshot was published for no change")
				}
				h.take("", mk("3", cds("a", "1"), cds("b", "2")))
				if h.last().Resource(ClusterURL, "a") != before {
					t.Error("a is another resource")
				}
			})
		})
	}
}

func TestStaticResourcesStay(t *testing.T) {
	run(t, ads, func(h *harness) {
		if err := h.c.Static([]*anypb.Any{cds("a", "static"), cds("e", "needs eds:x")}); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.wantAsked("", "Cluster", "ClusterLoadAssignment +x")
		h.wantDetails(h.take("", sotw("1", cds("a", "dynamic"), cds("b", "1"))), "")
		h.want(ClusterURL, "a=static", "b=1", "e=needs eds:x")
		h.wantDetails(h.take("", removal(ClusterURL, "2", "a", "b", "nosuch")), "")
		h.want(ClusterURL, "a=static", "e=needs eds:x")
	})
}

func TestBadStaticResourceIsFatal(t *testing.T) {
	for name, tc := range map[string]struct {
		all  []*anypb.Any
		want string
	}{
		"bad":                       {[]*anypb.Any{cds("a", "bad one")}, "bad one"},
		"duplicate cluster":         {[]*anypb.Any{cds("a", "1"), cds("a", "2")}, "cluster manager: duplicate cluster 'a'"},
		"unknown type":              {[]*anypb.Any{res("x.Y", "a", "")}, "static resources of type x.Y are not supported"},
		"SDS cluster there is none": {[]*anypb.Any{cds("a", "needs sds:s grpc:nosuch")}, "envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: 'nosuch' does not exist, was added via api, or is an EDS cluster"},
		"SDS cluster is EDS":        {[]*anypb.Any{cds("a", "needs sds:s grpc:b"), cds("b", "needs eds:b")}, "envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: 'b' does not exist, was added via api, or is an EDS cluster"},
		"no such path":              {[]*anypb.Any{cds("a", "needs eds:s path:/nosuch")}, "paths must refer to an existing path in the system: '/nosuch' does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, ads, func(h *harness) {
				err := h.c.Static(tc.all)
				if err == nil || err.Error() != tc.want {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				var s *StaticError
				if !errors.As(err, &s) {
					t.Errorf("%T", err)
				}
			})
		})
	}
}

func TestRejectedFirstVersionIsGoneWithout(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.take("", sotw("1", cds("a", "needs eds:x"), cds("b", "needs eds:y"), cds("c", "needs eds:z")))
		h.take("", sotw("1", eds("x", "bad")))
		if !h.last().Warm(h.last().Resource(ClusterURL, "a")) || h.last().Warm(h.last().Resource(ClusterURL, "b")) {
			t.Error("a goes without, b waits")
		}
		h.take("", removal(EndpointURL, "2", "y"))
		if !h.last().Warm(h.last().Resource(ClusterURL, "b")) || h.last().Warm(h.last().Resource(ClusterURL, "c")) {
			t.Error("b does not exist, c waits")
		}
		h.take("", sotw("3", &anypb.Any{TypeUrl: EndpointURL, Value: []byte("garbage")}))
		if !h.last().Warm(h.last().Resource(ClusterURL, "c")) {
			t.Error("what cannot be named may have been c")
		}
	})
}

func TestRemovalOfANamedResourceKeepsIt(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.take("", delta("1", cds("a", "needs eds:x")))
		h.take("", delta("1", eds("x", "1")))
		h.take("", removal(EndpointURL, "2", "x"))
		h.want(EndpointURL, "x=1")
	})
}

func TestCheckSeesWhatThisResponseBrought(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.take("", sotw("1", cds("a", "at 80")))
		h.wantDetails(h.take("", sotw("2", cds("b", "at 80"), cds("c", "at 81"), cds("d", "at 81"))), "Error adding/updating cluster(s) d: 81 is in use by c")
		h.want(ClusterURL, "b=at 80", "c=at 81")
	})
}
