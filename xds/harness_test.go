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
