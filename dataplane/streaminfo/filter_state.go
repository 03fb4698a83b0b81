package streaminfo

// FilterState holds named objects that filters leave for others: for a stream, or for all of a
// connection's. It is owned as its holder is.
type FilterState struct {
	objects []StateObject
}

// StateObject is one entry of a FilterState.
type StateObject struct {
	Name  string
	Value any
	// Shared says how far the object goes to the upstream connection (SharedWithUpstream).
	Shared Sharing
	// ReadOnly objects may not be set again.
	ReadOnly bool
}

// Sharing is core.v3 set_filter_state's shared_with_upstream.
type Sharing uint8

// The three ways.
const (
	SharedNone Sharing = iota
	SharedOnce
	SharedTransitive
)

// Serializer is an object that has a string form, as %FILTER_STATE(key:PLAIN)% prints it.
type Serializer interface{ FilterStateString() string }

// JSONer is an object with a structured form, as %FILTER_STATE(key:TYPED)% prints it: a value that
// encoding/json can write.
type JSONer interface{ FilterStateJSON() any }

// Fielder is an object with fields, as %FILTER_STATE(key:FIELD:name)% prints them.
type Fielder interface {
	FilterStateField(name string) (string, bool)
}

// Hasher is an object that adds to the key of an upstream connection pool.
type Hasher interface{ FilterStateHash() string }

// Text is a plain string object.
type Text string

// FilterStateString returns the text itself.
func (t Text) FilterStateString() string { return string(t) }

// HashableText is a string that upstream connections are told apart by (istio.hashable_string,
// envoy.hashable_string).
type HashableText string

// FilterStateString returns the text itself.
func (t HashableText) FilterStateString() string { return string(t) }

// FilterStateHash is the text.
func (t HashableText) FilterStateHash() string { return string(t) }

// ApplicationProtocolsKey names the object that overrides the ALPN protocols of upstream connections.
const ApplicationProtocolsKey = "envoy.network.application_protocols"

// ApplicationProtocols is a list of ALPN protocols, joined by commas as a pool's options have them.
type ApplicationProtocols string

// FilterStateString returns the list.
func (p ApplicationProtocols) FilterStateString() string { return string(p) }

// Get finds an object; nil if there is none.
func (s *FilterState) Get(name string) any {
	for i := range s.objects {
		if s.objects[i].Name == name {
			return s.objects[i].Value
		}
	}
	return nil
}

// Set adds or replaces an object. It reports false, and changes nothing, if the one that is there is
// read only.
func (s *FilterState) Set(o StateObject) bool {
	for i := range s.objects {
		if s.objects[i].Name == o.Name {
			if s.objects[i].ReadOnly {
				return false
			}
			s.objects[i] = o
			return true
		}
	}
	s.objects = append(s.objects, o)
	return true
}

// Objects lists what is there, in the order of their first setting.
func (s *FilterState) Objects() []StateObject { return s.objects }

// Find looks in the stream's state, then in its connection's.
func (i *Info) Find(name string) any {
	if v := i.FilterState.Get(name); v != nil {
		return v
	}
	if i.Conn != nil {
		return i.Conn.FilterState.Get(name)
	}
	return nil
}
