package bookinfo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// passOn are the headers that belong to the request and not to the hop: who the user is, and what tracing
// and routing go by. A mesh cannot know which outgoing request belongs to which incoming one, so the
// applications pass them on.
func passOn() []string {
	return []string{
		"End-User", "User-Agent", "Cookie", "Authorization", "X-Request-Id", "X-Envoy-Force-Trace",
		"B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags",
		"Traceparent", "Tracestate", "Baggage", "X-Ot-Span-Context", "X-Datadog-Trace-Id", "X-Datadog-Parent-Id",
		"X-Datadog-Sampling-Priority", "Sw8", "X-Cloud-Trace-Context", "Grpc-Trace-Bin",
	}
}

// newClient dials where the options say.
func newClient(o Options) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		// Redirects are for the caller's caller to follow.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 64, IdleConnTimeout: 60 * time.Second,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, resolve(o.Resolve, address))
			},
		},
	}
}

// resolve replaces HOST:PORT, or HOST alone, by what the table says.
func resolve(table map[string]string, address string) string {
	if to, ok := table[address]; ok {
		return to
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	to, ok := table[host]
	if !ok {
		return address
	}
	if _, _, err := net.SplitHostPort(to); err == nil {
		return to
	}
	return net.JoinHostPort(to, port)
}

// get calls another service for an incoming request, and reads its JSON into to.
func (a *app) get(r *http.Request, url string, timeout time.Duration, to any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range passOn() {
		if v := r.Header.Values(name); len(v) > 0 {
			out.Header[name] = v
		}
	}
	resp, err := a.client.Do(out)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return resp.Header, err
	}
	if resp.StatusCode != http.StatusOK {
		return resp.Header, &statusError{resp.StatusCode, url, string(body)}
	}
	return resp.Header, json.Unmarshal(body, to)
}

// statusError is an answer that is no success.
type statusError struct {
	status    int
	url, body string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answered %d: %.100s", e.url, e.status, e.body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client is gone: there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}
