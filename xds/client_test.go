package xds

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
)

// res is a resource of the tests: its name and a body. The body "bad…" does not decode, "needs TYPE:NAME
// [SOURCE [TIMEOUT]];…" refers to others.
func res(url, name, body string) *anypb.Any {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), body)
	return &anypb.Any{TypeUrl: url, Value: b}
}

func cds(name, body string) *anypb.Any { return res(ClusterURL, name, body) }
func eds(name, body string) *anypb.Any { return res(EndpointURL, name, body) }
func lds(name, body string) *anypb.Any { return res(ListenerURL, name, body) }
func rds(name, body string) *anypb.Any { return res(RouteURL, name, body) }

// value is what a resource of the tests is compiled to.
type value struct{ name, body string }

var kinds = map[string]string{"eds": EndpointURL, "rds": RouteURL, "sds": SecretURL, "ecds": ExtensionURL, "cds": ClusterURL, "lds": ListenerURL}

func testType(url string) Type[*value] {
	return Type[*value]{
		URL: url, AllRequiredInSotW: url == ListenerURL || url == ClusterURL,
		Decode: func(a *anypb.Any) (string, *value, error) {
			if string(a.Value) == "garbage" {
				return "", nil, errors.New("Unable to unpack")
			}
			if string(a.Value) == "panic" {
				panic("decoder")
			}
			name := firstField(a.Value)
			_, _, n := protowire.ConsumeField(a.Value)
			_, _, tag := protowire.ConsumeTag(a.Value[n:])
			body, _ := protowire.ConsumeString(a.Value[n+tag:])
			if strings.HasPrefix(body, "bad") {
				return name, nil, errors.New(body)
			}
			return name, &value{name, body}, nil
		},
		Check: func(s *Snapshot, name string, v *value) error {
			if at, ok := strings.CutPrefix(v.body, "at "); ok {
				for other, r := range s.All(url) {
					if other != name && r.Value.(*value).body == "at "+at {
						return fmt.Errorf("%s is in use by %s", at, other)
					}
				}
			}
			return nil
		},
		Refs: func(v *value) (refs []Ref) {
			needs, ok := strings.CutPrefix(v.body, "needs ")
			if !ok {
				return nil
			}
			for need := range strings.SplitSeq(needs, ";") {
				f := strings.Fields(need)
				kind, name, _ := strings.Cut(f[0], ":")
				r := Ref{TypeURL: kinds[kind], Name: name}
				for _, opt := range f[1:] {
					if d, err := time.ParseDuration(opt); err == nil {
						r.Timeout = d
					} else {
						r.Source = opt
					}
				}
				refs = append(refs, r)
			}
			return refs
		},
	}
}

// fake is a stream that notes what it is asked for.
type fake struct {
	h      *harness
	ref    Ref
	sink   Sink
	asked  []string
	closed chan struct{}
}

func (f *fake) Subscribe(url string, add, remove []string) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	line := url[strings.LastIndexByte(url, '.')+1:]
	if len(add) > 0 {
		line += " +" + strings.Join(add, ",")
	}
	if len(remove) > 0 {
		line += " -" + strings.Join(remove, ",")
	}
	f.asked = append(f.asked, line)
}
func (f *fake) Close() { close(f.closed) }
func (f *fake) Wait()  { <-f.closed }

// harness is a client on fake streams, run in a bubble.
type harness struct {
	t      *testing.T
	c      *Client
	mu     sync.Mutex
	open   map[string]*fake // by source, and by name too but for ADS
	events []string
	latest *Snapshot // published
	count  int
	log    strings.Builder
}

func run(t *testing.T, cfg Config, f func(h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &harness{t: t, open: map[string]*fake{}}
		for _, url := range kinds {
			cfg.Decoders = append(cfg.Decoders, testType(url).Decoder())
		}
		open := func(ref Ref, sink Sink) (Stream, error) {
			key := ref.Source
			if ref.Name != "" {
				key += "/" + ref.Name
			}
			s := &fake{h: h, ref: ref, sink: sink, closed: make(chan struct{})}
			h.mu.Lock()
			h.open[key] = s
			h.mu.Unlock()
			return s, nil
		}
		cfg.Open = map[string]OpenFunc{SchemeADS: open, SchemePath: open, SchemeGRPC: open, SchemeDelta: open}
		cfg.Publish = func(s *Snapshot) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.latest = s
			h.count++
		}
		cfg.Observe = func(e Event) {
			names := []string{"attempt", "success", "rejected", "failed", "timeout", "connected", "disconnected", "identified"}
			h.events = append(h.events, strings.TrimRight(fmt.Sprintf("%s %s %s %s", names[e.Kind], e.TypeURL[strings.LastIndexByte(e.TypeURL, '.')+1:], e.Name, e.Version), " "))
		}
		cfg.Log = slog.New(slog.NewTextHandler(&h.log, nil))
		h.c = New(cfg)
		defer h.c.Close()
		f(h)
	})
}

// last is the snapshot published last; published is how many were.
func (h *harness) last() *Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.latest
}

func (h *harness) published() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// start sets the client going and lets it settle.
func (h *harness) start() { h.c.Start(); synctest.Wait() }

// take hands a response to a stream and returns the NACK.
func (h *harness) take(source string, r *Response) Verdict {
	h.t.Helper()
	h.mu.Lock()
	f := h.open[source]
	h.mu.Unlock()
	if f == nil {
		h.t.Fatalf("no stream %q is open", source)
	}
	v := f.sink.Accept(r)
	synctest.Wait()
	return v
}

// sotw is a state-of-the-world response; delta names its resources.
func sotw(version string, all ...*anypb.Any) *Response {
	r := &Response{TypeURL: all[0].TypeUrl, Version: version}
	for _, a := range all {
		r.Resources = append(r.Resources, Received{Any: a})
	}
	return r
}

func delta(version string, all ...*anypb.Any) *Response {
	r := sotw(version, all...)
	r.Delta = true
	for i := range r.Resources {
		r.Resources[i].Name, r.Resources[i].Version = firstField(r.Resources[i].Any.Value), version
	}
	return r
}

// removal is a delta response that takes names away.
func removal(url, version string, names ...string) *Response {
	return &Response{TypeURL: url, Version: version, Delta: true, Removed: names}
}

// wantAsked is all that a stream was asked since the last time.
func (h *harness) wantAsked(source string, want ...string) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var got []string
	if f := h.open[source]; f != nil {
		got, f.asked = f.asked, nil
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("stream %q was asked %q, want %q", source, got, want)
	}
}

// want is the published snapshot: "name=body" of a type's resources.
func (h *harness) want(url string, want ...string) {
	h.t.Helper()
	var got []string
	for _, r := range h.last().Sorted(url) {
		got = append(got, r.Name+"="+r.Value.(*value).body)
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("%s: got %q, want %q", url, got, want)
	}
}

func (h *harness) wantDetails(v Verdict, want string) {
	h.t.Helper()
	if v.Details != want {
		h.t.Errorf("NACK %q, want %q", v.Details, want)
	}
}

var ads = Config{Listeners: &Ref{}, Clusters: &Ref{}}

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

func TestSubscriptionsFollowReferences(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.wantAsked("", "Cluster")
		h.take("", sotw("1", cds("a", "needs eds:x"), cds("b", "needs eds:y"), cds("c", "needs eds:y")))
		h.wantAsked("", "ClusterLoadAssignment +x,y")
		h.take("", sotw("1", eds("x", "1"), eds("y", "1"), eds("z", "1")))
		h.want(EndpointURL, "x=1", "y=1")
		h.take("", sotw("2", cds("a", "needs eds:z"), cds("c", "needs eds:y")))
		h.wantAsked("", "ClusterLoadAssignment +z -x")
		h.want(EndpointURL, "y=1")
		h.take("", sotw("3", cds("a", "needs eds:z")))
		h.wantAsked("", "ClusterLoadAssignment -y")
		h.want(EndpointURL)
		h.take("", sotw("4", cds("a", "needs eds:z"), cds("c", "needs eds:y")))
		h.wantAsked("", "ClusterLoadAssignment +y")
	})
}

func TestWhatOnlyADroppedResourceNeededIsDroppedToo(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.c.ClustersReady()
		synctest.Wait()
		h.wantAsked("", "Cluster", "Listener")
		h.take("", sotw("1", lds("l", "needs ecds:e")))
		h.take("", sotw("1", res(ExtensionURL, "e", "needs sds:s")))
		h.take("", sotw("1", res(SecretURL, "s", "1")))
		h.want(SecretURL, "s=1")
		h.wantAsked("", "TypedExtensionConfig +e", "Secret +s")
		h.take("", sotw("2", lds("m", "1")))
		h.wantAsked("", "TypedExtensionConfig -e", "Secret -s")
		h.want(SecretURL)
		h.want(ExtensionURL)
	})
}

func TestEachNameHasAStreamOfItsOwnOutsideADS(t *testing.T) {
	run(t, ads, func(h *harness) {
		if err := h.c.Static([]*anypb.Any{cds("sds-grpc", "1")}); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.take("", sotw("1", cds("a", "needs sds:one grpc:sds-grpc;sds:two grpc:sds-grpc")))
		h.wantAsked("grpc:sds-grpc/one", "Secret +one")
		h.wantAsked("grpc:sds-grpc/two", "Secret +two")
		h.take("grpc:sds-grpc/one", sotw("1", res(SecretURL, "one", "1"), res(SecretURL, "two", "not its own")))
		h.want(SecretURL, "one=1")
		if got := h.last().Resource(SecretURL, "one").Source; got != "grpc:sds-grpc" {
			t.Errorf("source %q", got)
		}
		h.wantDetails(h.take("", sotw("2", cds("b", "needs sds:x grpc:b"), cds("a", "needs sds:one grpc:sds-grpc"))),
			"Error adding/updating cluster(s) b: envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: 'b' does not exist, was added via api, or is an EDS cluster")
		select {
		case <-h.open["grpc:sds-grpc/two"].closed:
		default:
			t.Error("the stream of two is open still")
		}
		h.want(SecretURL, "one=1")
	})
}

func TestChangeOfSourceAsksAnew(t *testing.T) {
	run(t, ads, func(h *harness) {
		if err := h.c.Static([]*anypb.Any{cds("x", "1")}); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.take("", sotw("1", cds("a", "needs eds:e")))
		h.take("", sotw("1", eds("e", "by ADS")))
		h.take("", sotw("2", cds("a", "needs eds:e delta:x")))
		h.want(EndpointURL)
		h.take("delta:x/e", delta("1", eds("e", "by delta")))
		h.want(EndpointURL, "e=by delta")
	})
}

func TestListenersAreAskedForWhenClustersAreReady(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.wantAsked("", "Cluster")
		if h.last().Answered(ClusterURL) || h.last().Answered(ListenerURL) {
			t.Error("answered already")
		}
		h.take("", sotw("1", cds("a", "bad")))
		if !h.last().Answered(ClusterURL) {
			t.Error("a rejected response is an answer")
		}
		h.wantAsked("")
		h.c.ClustersReady()
		h.c.ClustersReady()
		h.wantAsked("", "Listener")
		h.take("", sotw("1", lds("l", "1")))
		if !h.last().Answered(ListenerURL) {
			t.Error("LDS is not answered")
		}
	})
	run(t, Config{Listeners: &Ref{}}, func(h *harness) {
		h.start()
		h.wantAsked("", "Listener")
		if !h.last().Answered(ClusterURL) {
			t.Error("nobody is asked for clusters")
		}
	})
}

func TestInitialFetchTimeout(t *testing.T) {
	run(t, Config{Clusters: &Ref{Timeout: 7 * time.Second}, Listeners: &Ref{}}, func(h *harness) {
		h.start()
		time.Sleep(7*time.Second - time.Millisecond)
		synctest.Wait()
		if h.last().Answered(ClusterURL) {
			t.Error("too early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !h.last().Answered(ClusterURL) {
			t.Error("CDS is waited for still")
		}
		h.take("", sotw("1", cds("a", "needs eds:x 15s"), cds("b", "needs eds:x 5s"), cds("c", "needs eds:x"), cds("d", "needs eds:y 5s")))
		h.take("", sotw("1", eds("y", "1")))
		warm := func(want ...string) {
			t.Helper()
			var got []string
			for _, r := range h.last().Sorted(ClusterURL) {
				if h.last().Warm(r) {
					got = append(got, r.Name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("warm are %q, want %q", got, want)
			}
		}
		warm("d")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		warm("b", "d")
		// An update of b does not begin to wait anew; c has no timeout.
		h.take("", sotw("2", cds("a", "needs eds:x 15s"), cds("b", "needs eds:x 5s;eds:y 5s"), cds("c", "needs eds:x"), cds("d", "needs eds:y 5s")))
		warm("b", "d")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		warm("a", "b", "d")
		time.Sleep(time.Hour)
		synctest.Wait()
		warm("a", "b", "d")
		h.take("", sotw("2", eds("x", "1")))
		warm("a", "b", "c", "d")
		if n := len(h.last().waited); n != 0 {
			t.Errorf("%d references are still marked", n)
		}
	})
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

func TestEventsCountAsEnvoy(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.take("", sotw("1", cds("a", "needs eds:x"), cds("b", "needs eds:y 1s")))
		h.take("", sotw("1", eds("x", "1")))
		h.take("", sotw("2", eds("x", "bad")))
		time.Sleep(time.Second)
		synctest.Wait()
		h.open[""].sink.Connected(nil)
		h.take("", &Response{TypeURL: ClusterURL, Version: "3", ControlPlane: "cp", Delta: true})
		h.open[""].sink.Connected(errors.New("gone"))
		got := slices.Clone(h.events)
		want := []string{
			"attempt Cluster", "success Cluster  1", "attempt Cluster", "attempt ClusterLoadAssignment x", "attempt ClusterLoadAssignment y",
			"success ClusterLoadAssignment x 1", "attempt ClusterLoadAssignment x",
			"rejected ClusterLoadAssignment x", "attempt ClusterLoadAssignment x",
			"timeout ClusterLoadAssignment y", "attempt ClusterLoadAssignment y",
			"connected", "identified", "success Cluster  3", "attempt Cluster", "disconnected",
		}
		if n := len(want); len(got) < n || !slices.Equal(got[:n], want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		rest := got[len(want):]
		slices.Sort(rest)
		if want := []string{
			"attempt Cluster", "attempt ClusterLoadAssignment x", "attempt ClusterLoadAssignment y",
			"failed Cluster", "failed ClusterLoadAssignment x", "failed ClusterLoadAssignment y",
		}; !slices.Equal(rest, want) {
			t.Errorf("got %q, want %q", rest, want)
		}
	})
}

func TestSubscriptionsTellWhatIsMissing(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.take("", sotw("1", cds("a", "needs eds:x"), cds("b", "needs eds:y")))
		h.take("", sotw("1", eds("x", "1")))
		h.open[""].sink.Connected(nil)
		var got []string
		for _, s := range h.c.Subscriptions() {
			got = append(got, fmt.Sprintln(s.TypeURL[strings.LastIndexByte(s.TypeURL, '.')+1:], s.All, s.Answered, s.Names, s.Missing, s.Connected, s.Version, s.Successes))
		}
		if want := []string{"Cluster true true [] [] true 1 1\n", "ClusterLoadAssignment false false [x y] [y] true 1 1\n"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
