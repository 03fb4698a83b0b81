// Package envoytest runs filter scenarios on the real Envoy, and records what it does: the goldens that
// tests of filters compare with. It is for tests alone.
package envoytest

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Scenario is a file: a filter chain, the routes behind it, and the requests that are sent through.
type Scenario struct {
	// Filters are HttpFilters, without the router.
	Filters []json.RawMessage `json:"filters"`
	// Host is what the one virtual host has beside its name, domains and routes; Routes default to one
	// that sends everything to the cluster "up".
	Host   map[string]json.RawMessage `json:"vhost"`
	Routes []json.RawMessage          `json:"routes"`
	// Table is what the route configuration has beside its virtual host.
	Table map[string]json.RawMessage `json:"route_config"`
	// Runtime is a static runtime layer.
	Runtime map[string]any `json:"runtime"`
	// Log is added to each line of the access log, after flags and details.
	Log string `json:"log"`
	// Stats picks the stats that are compared; "" is none.
	Stats string `json:"stats"`
	// IgnoreStats picks those that are not compared all the same.
	IgnoreStats string `json:"ignore_stats"`
	// Mask replaces what varies in headers.
	Mask []Mask `json:"mask"`
	// Ignore are headers that are not compared, of responses and upstream requests.
	Ignore []string `json:"ignore"`
	Steps  []Step   `json:"steps"`
}

// Mask is a regular expression and what to put in its place.
type Mask struct {
	Match string `json:"match"`
	To    string `json:"to"`
}

// Step is one request, and what the upstream is to answer.
type Step struct {
	Name     string   `json:"name"`
	Request  Request  `json:"request"`
	Upstream Response `json:"upstream"`
	// Runtime is set before the request, in the admin layer.
	Runtime map[string]string `json:"runtime"`
}

// Request is a request; Headers and Trailers are "name: value".
type Request struct {
	Method   string   `json:"method"`
	Path     string   `json:"path"`
	Host     string   `json:"host"`
	Headers  []string `json:"headers"`
	Body     *string  `json:"body"`
	Pieces   []string `json:"pieces"` // instead of Body: a chunked body
	Encode   string   `json:"encode"` // what the body is compressed with before it is sent
	Trailers []string `json:"trailers"`
}

// Response is a response. A Body of many pieces is chunked.
type Response struct {
	Status   int      `json:"status"`
	Headers  []string `json:"headers"`
	Body     string   `json:"body"`
	Pieces   []string `json:"pieces"`
	Encode   string   `json:"encode"`
	Trailers []string `json:"trailers"`
}

// Outcome is what became of a step. Headers are sorted.
type Outcome struct {
	Name     string   `json:"name,omitempty"`
	Status   int      `json:"status"`
	Headers  []string `json:"headers,omitempty"`
	Body     string   `json:"body,omitempty"`
	Trailers []string `json:"trailers,omitempty"`
	// Log is "FLAGS DETAILS" and what Scenario.Log adds.
	Log string `json:"log"`
	// Upstream is the request that arrived there; nil: none.
	Upstream *Seen `json:"upstream,omitempty"`
}

// Seen is a request as the upstream saw it.
type Seen struct {
	Line     string   `json:"line"`
	Host     string   `json:"host"`
	Headers  []string `json:"headers,omitempty"`
	Body     string   `json:"body,omitempty"`
	Trailers []string `json:"trailers,omitempty"`
}

// Golden is all that was observed of a scenario.
type Golden struct {
	Steps []Outcome         `json:"steps"`
	Stats map[string]uint64 `json:"stats,omitempty"`
}

// Load reads a scenario from a YAML file.
func Load(path string) (*Scenario, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Scenario{}
	if err := yaml.UnmarshalStrict(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.Fill()
	return s, nil
}

// Fill sets what is left out.
func (s *Scenario) Fill() {
	if len(s.Routes) == 0 {
		s.Routes = []json.RawMessage{json.RawMessage(`{"match": {"prefix": "/"}, "route": {"cluster": "up"}}`)}
	}
	for i := range s.Steps {
		s.Steps[i].fill()
	}
}

func (s *Step) fill() {
	r := &s.Request
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if r.Host == "" {
		r.Host = "test.local"
	}
	if s.Upstream.Status == 0 {
		s.Upstream.Status = 200
	}
	if r.Body != nil {
		b := Encoded(r.Encode, *r.Body)
		r.Body = &b
	}
	s.Upstream.Body = Encoded(s.Upstream.Encode, s.Upstream.Body)
}

// RouteConfig is the scenario's RouteConfiguration.
func (s *Scenario) RouteConfig() json.RawMessage {
	host := map[string]any{"name": "vh", "domains": []string{"*"}, "routes": s.Routes}
	for k, v := range s.Host {
		host[k] = v
	}
	table := map[string]any{"name": "rc", "virtual_hosts": []any{host}}
	for k, v := range s.Table {
		table[k] = v
	}
	return mustJSON(table)
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Tidy brings an outcome into the form that is compared.
func (s *Scenario) Tidy(o *Outcome) {
	o.Headers = s.Normal(o.Headers)
	o.Body = Decoded(o.Headers, o.Body)
	if u := o.Upstream; u != nil {
		u.Headers = s.Normal(u.Headers)
		u.Body = Decoded(u.Headers, u.Body)
		if slices.ContainsFunc(u.Headers, func(h string) bool { return strings.HasPrefix(h, "content-length:") }) {
			u.Trailers = nil // HTTP/1 has none then
		}
	}
}

// byNature are headers that the proxy itself adds or that differ from run to run.
var byNature = []string{"date", "server", "x-envoy-upstream-service-time", "connection", "transfer-encoding", "x-request-id", "x-forwarded-proto",
	"x-envoy-expected-rq-timeout-ms", "host", "trailer"}

// Normal sorts headers and leaves out those that do not count.
func (s *Scenario) Normal(headers []string) []string {
	var out []string
	for _, h := range headers {
		name, _, _ := strings.Cut(h, ":")
		if h == "content-length: 0" || slices.Contains(byNature, name) || slices.Contains(s.Ignore, name) {
			continue
		}
		for _, m := range s.Mask {
			h = regexp.MustCompile(m.Match).ReplaceAllString(h, m.To)
		}
		out = append(out, h)
	}
	slices.Sort(out)
	return out
}

// Counts tells whether a stat is compared.
func (s *Scenario) Counts(name string) bool {
	return s.Stats != "" && regexp.MustCompile(s.Stats).MatchString(name) && (s.IgnoreStats == "" || !regexp.MustCompile(s.IgnoreStats).MatchString(name))
}

// Refusal is a configuration that is refused, and why.
type Refusal struct {
	Scenario
	Name  string `json:"name"`
	Error string `json:"error"`
}

// LoadRefusals reads a file of configurations.
func LoadRefusals(path string) ([]Refusal, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []Refusal
	if err := yaml.UnmarshalStrict(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range list {
		list[i].Fill()
	}
	return list, nil
}
