package control

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Status is who is connected and what each has, and which files are bad.
type Status struct {
	Clients []Client `json:"clients"`
	// Files are the errors of the files whose last good version is served on.
	Files map[string]string `json:"bad_files,omitempty"`
	// Notes are what was done to the files' content so that it can be served.
	Notes []string `json:"notes,omitempty"`
}

// Client is one stream.
type Client struct {
	Node      string    `json:"node"`
	Cluster   string    `json:"cluster,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Address   string    `json:"address"`
	Delta     bool      `json:"delta"`
	Connected time.Time `json:"connected"`
	// Service is the type of a stream for one type alone; "" for ADS.
	Service string `json:"service,omitempty"`
	// Types are by type URL.
	Types map[string]TypeStatus `json:"types"`
}

// TypeStatus is how far one stream is with one type.
type TypeStatus struct {
	// Subscribed is what the client asks for by name; Wildcard that it asks for all.
	Subscribed []string `json:"subscribed,omitempty"`
	Wildcard   bool     `json:"wildcard,omitempty"`
	// Missing are the names of Subscribed that are not served.
	Missing []string `json:"missing,omitempty"`
	// Sent and Acked are versions. Responses counts the responses, of which Nacks were rejected.
	Sent      string `json:"sent,omitempty"`
	Acked     string `json:"acked,omitempty"`
	Responses int    `json:"responses"`
	Nacks     int    `json:"nacks,omitempty"`
	// Nack is the last rejection; nil if the last answer was an acceptance.
	Nack *Nack `json:"nack,omitempty"`
}

// Nack is a response that a client rejected.
type Nack struct {
	Version string    `json:"version"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// Current tells whether the client has accepted all that it was sent of a type.
func (t TypeStatus) Current() bool { return t.Sent != "" && t.Sent == t.Acked }

// Nacked lists the rejections that stand, one line each.
func (s Status) Nacked() []string {
	var all []string
	for _, c := range s.Clients {
		for url, t := range c.Types {
			if t.Nack != nil {
				all = append(all, c.Node+": "+short(url)+" "+t.Nack.Version+": "+t.Nack.Reason)
			}
		}
	}
	slices.Sort(all)
	return all
}

// Status tells who is connected and what each has.
func (s *Server) Status() Status {
	st := Status{Clients: s.tracker.clients(), Files: map[string]string{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, err := range s.failures {
		st.Files[name] = err.Error()
	}
	for _, src := range s.sources {
		st.Notes = append(st.Notes, src.notes...)
	}
	slices.Sort(st.Notes)
	return st
}

// Wait returns as soon as cond is true of the status, or with ctx's error.
func (s *Server) Wait(ctx context.Context, cond func(Status) bool) error {
	return s.wait(ctx, func() bool { return cond(s.Status()) })
}

// WaitCurrent returns once a node has accepted everything that it is to have of some types, of all types
// that it asks for if none is given: the newest content, all that it subscribes to.
func (s *Server) WaitCurrent(ctx context.Context, node string, typeURLs ...string) error {
	return s.wait(ctx, func() bool {
		n, err := s.lookup(node)
		return err == nil && s.tracker.current(n, typeURLs)
	})
}

func (s *Server) wait(ctx context.Context, cond func() bool) error {
	for {
		changed := s.tracker.changes()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	Connected    EventKind = "connected"
	Disconnected EventKind = "disconnected"
	Sent         EventKind = "sent"
	Acked        EventKind = "acked"
	Nacked       EventKind = "nacked"
	FileLoaded   EventKind = "file loaded"
	FileBad      EventKind = "file bad"
)

// Event is one thing that happened.
type Event struct {
	Kind EventKind
	// Node, TypeURL, Version and Reason are of a stream's events; File and Err of a file's.
	Node, TypeURL, Version, Reason string
	File                           string
	Err                            error
}

// Handler serves the status as JSON at "/", and what a node is served, by type and name, at
// "/resources?node=ID".
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Status()) })
	mux.HandleFunc("GET /resources", func(w http.ResponseWriter, r *http.Request) {
		all, err := s.Resources(r.URL.Query().Get("node"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, all)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	// The client is gone: there is nobody left to tell.
	_ = enc.Encode(v)
}

// Resources are what a node is served: by type, then by name, as protobuf's JSON.
func (s *Server) Resources(node string) (map[string]map[string]json.RawMessage, error) {
	all, err := s.current().resources(node, nil)
	if err != nil {
		return nil, err
	}
	to := map[string]map[string]json.RawMessage{}
	for r, v := range all {
		if to[r.typeURL] == nil {
			to[r.typeURL] = map[string]json.RawMessage{}
		}
		to[r.typeURL][r.name] = v.json()
	}
	return to, nil
}
