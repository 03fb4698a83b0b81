// Package header holds Map, the ordered header map that requests, responses and trailers live in.
package header

import "unsafe"

// Field is one header line. Name is lower case always.
type Field struct {
	Name  string
	Value string
	// Case is the name as it came over the wire, where the codec was asked to keep it
	// (stateful_formatter preserve_case); else empty.
	Case string
	// ID is the well-known name's number, or 0.
	ID ID
}

// Map is an ordered multimap of headers with the pseudo headers beside it, made to be reused: the
// names and values that a codec parsed lie in one arena, which Reset gives back.
//
// A string taken from a Map is borrowed: it is valid until Reset. Whoever keeps one longer clones it.
// A Map belongs to one goroutine at a time.
type Map struct {
	// Method, Path, Authority, Scheme and Protocol are the pseudo headers of a request
	// (RFC 9113 section 8.3.1); over HTTP/1 they come from the request line and Host.
	Method, Path, Authority, Scheme, Protocol string
	// Status is the response's :status; 0 is none.
	Status int
	// HasAuthority tells an empty Host from a missing one.
	HasAuthority bool

	fields  []Field
	arena   []byte
	present [(int(idCount) + 63) / 64]uint64
	spare   [16]Field
}

// Reset empties m and gives its arena back for reuse; strings borrowed from it are void.
func (m *Map) Reset() {
	m.Method, m.Path, m.Authority, m.Scheme, m.Protocol = "", "", "", "", ""
	m.Status, m.HasAuthority = 0, false
	clear(m.fields)
	if m.fields == nil {
		m.fields = m.spare[:0]
	} else {
		m.fields = m.fields[:0]
	}
	m.arena = m.arena[:0]
	clear(m.present[:])
}

// Grow gives n bytes of the arena to a codec that parses in place. They stay valid until Reset.
func (m *Map) Grow(n int) []byte {
	if cap(m.arena)-len(m.arena) < n {
		// The old arena stays alive through the strings that point into it.
		m.arena = make([]byte, 0, max(2*cap(m.arena), n+256, 512))
	}
	at := len(m.arena)
	m.arena = m.arena[:at+n]
	return m.arena[at : at+n : at+n]
}

// Keep copies b into the arena and returns it as a string borrowed from m.
func (m *Map) Keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	to := m.Grow(len(b))
	copy(to, b)
	return Borrow(to)
}

// KeepString copies s into the arena, for a string borrowed from another Map.
func (m *Map) KeepString(s string) string {
	if s == "" {
		return ""
	}
	to := m.Grow(len(s))
	copy(to, s)
	return Borrow(to)
}

// ArenaCap is the size of the arena in bytes; codecs drop a map that grew out of proportion.
func (m *Map) ArenaCap() int { return cap(m.arena) }

// Borrow returns b's bytes as a string without copying: b must not be written while it is in use.
func Borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Fields returns the headers in order, pseudo headers excluded. The slice is m's own.
func (m *Map) Fields() []Field { return m.fields }

// Len is the number of headers, pseudo headers excluded.
func (m *Map) Len() int { return len(m.fields) }

// Has tells whether a well-known header is there, at the cost of one bit test.
func (m *Map) Has(id ID) bool { return m.present[id>>6]&(1<<(id&63)) != 0 }

// Value returns the first value of a well-known header, or "".
func (m *Map) Value(id ID) string {
	v, _ := m.Lookup(id)
	return v
}

// Lookup returns the first value of a well-known header.
func (m *Map) Lookup(id ID) (string, bool) {
	if !m.Has(id) {
		return "", false
	}
	for i := range m.fields {
		if m.fields[i].ID == id {
			return m.fields[i].Value, true
		}
	}
	return "", false
}

// Get returns the first value of the header called name (lower case), pseudo headers included:
// ":path", ":method", ":authority" (and "host"), ":scheme", ":protocol", ":status".
func (m *Map) Get(name string) (string, bool) {
	if id := IDOf(name); id != 0 {
		if id.pseudo() {
			return m.pseudo(id)
		}
		return m.Lookup(id)
	}
	for i := range m.fields {
		if m.fields[i].Name == name {
			return m.fields[i].Value, true
		}
	}
	return "", false
}

// Count is how many lines carry the header called name (lower case).
func (m *Map) Count(name string) int {
	if id := IDOf(name); id != 0 {
		if id.pseudo() {
			if _, ok := m.pseudo(id); ok {
				return 1
			}
			return 0
		}
		if !m.Has(id) {
			return 0
		}
	}
	n := 0
	for i := range m.fields {
		if m.fields[i].Name == name {
			n++
		}
	}
	return n
}

// Each calls f with the values of the header called name (lower case), in order, until f says no.
func (m *Map) Each(name string, f func(value string) bool) {
	if id := IDOf(name); id != 0 {
		if id.pseudo() {
			if v, ok := m.pseudo(id); ok {
				f(v)
			}
			return
		}
		if !m.Has(id) {
			return
		}
	}
	for i := range m.fields {
		if m.fields[i].Name == name && !f(m.fields[i].Value) {
			return
		}
	}
}

// Joined returns all values of name joined by a comma, which is what Envoy matches and logs for a
// repeated header. It copies only when there is more than one.
func (m *Map) Joined(name string) (string, bool) {
	first, ok := m.Get(name)
	if !ok || m.Count(name) < 2 {
		return first, ok
	}
	n := -1
	m.Each(name, func(v string) bool { n += len(v) + 1; return true })
	at := m.Grow(n)[:0]
	m.Each(name, func(v string) bool {
		if len(at) > 0 {
			at = append(at, ',')
		}
		at = append(at, v...)
		return true
	})
	return Borrow(at), true
}

// Add appends a header. name must be lower case; name and value must outlive m's next Reset
// (constants, configuration, or strings that m itself keeps).
func (m *Map) Add(name, value string) {
	id := IDOf(name)
	if id.pseudo() {
		m.setPseudo(id, value)
		return
	}
	m.append(Field{Name: name, Value: value, ID: id})
}

// AddID appends a well-known header.
func (m *Map) AddID(id ID, value string) {
	m.append(Field{Name: names[id], Value: value, ID: id})
}

// AddField appends f as it is; f.ID must be IDOf(f.Name), which is no pseudo header.
func (m *Map) AddField(f Field) { m.append(f) }

func (m *Map) append(f Field) {
	if m.fields == nil {
		m.fields = m.spare[:0]
	}
	m.fields = append(m.fields, f)
	m.present[f.ID>>6] |= 1 << (f.ID & 63)
}

// Set gives name the one value, at the place of its first line, or at the end.
func (m *Map) Set(name, value string) {
	id := IDOf(name)
	if id.pseudo() {
		m.setPseudo(id, value)
		return
	}
	for i := range m.fields {
		if m.fields[i].Name == name {
			m.fields[i].Value = value
			m.delFrom(i+1, id, name)
			return
		}
	}
	m.append(Field{Name: name, Value: value, ID: id})
}

// SetID is Set for a well-known header.
func (m *Map) SetID(id ID, value string) {
	if m.Has(id) || id.pseudo() {
		m.Set(names[id], value)
		return
	}
	m.append(Field{Name: names[id], Value: value, ID: id})
}

// AppendID adds value to a well-known header as Envoy's appendX does: "old,value", or alone.
func (m *Map) AppendID(id ID, value, delimiter string) {
	old, ok := m.Lookup(id)
	if !ok || old == "" {
		m.SetID(id, value)
		return
	}
	to := m.Grow(len(old) + len(delimiter) + len(value))[:0]
	to = append(append(append(to, old...), delimiter...), value...)
	m.SetID(id, Borrow(to))
}

// Del removes every line of name (lower case) and tells how many there were. Of the pseudo headers
// only :authority, :scheme and :protocol can go.
func (m *Map) Del(name string) int {
	id := IDOf(name)
	if id.pseudo() {
		if _, ok := m.pseudo(id); !ok || id == Method || id == Path {
			return 0
		}
		m.setPseudo(id, "")
		if id == Authority || id == Host {
			m.HasAuthority = false
		}
		return 1
	}
	if id != 0 && !m.Has(id) {
		return 0
	}
	return m.delFrom(0, id, name)
}

// DelID is Del for a well-known header.
func (m *Map) DelID(id ID) {
	if m.Has(id) {
		m.delFrom(0, id, names[id])
	}
}

func (m *Map) delFrom(from int, id ID, name string) int {
	out := m.fields[:from]
	for i := from; i < len(m.fields); i++ {
		if m.fields[i].Name != name {
			out = append(out, m.fields[i])
		}
	}
	n := len(m.fields) - len(out)
	clear(m.fields[len(out):])
	m.fields = out
	if id != 0 && from == 0 {
		m.present[id>>6] &^= 1 << (id & 63)
	}
	return n
}

// DelFunc removes the headers that f picks, pseudo headers excluded.
func (m *Map) DelFunc(f func(*Field) bool) {
	out := m.fields[:0]
	clear(m.present[:])
	for i := range m.fields {
		if f(&m.fields[i]) {
			continue
		}
		id := m.fields[i].ID
		m.present[id>>6] |= 1 << (id & 63)
		out = append(out, m.fields[i])
	}
	clear(m.fields[len(out):])
	m.fields = out
}

// CopyFrom makes m a deep copy of o, with an arena of its own.
func (m *Map) CopyFrom(o *Map) {
	m.Reset()
	m.Grow(o.ByteSize() + 64)
	m.arena = m.arena[:0]
	m.Method, m.Path = m.KeepString(o.Method), m.KeepString(o.Path)
	m.Authority, m.HasAuthority = m.KeepString(o.Authority), o.HasAuthority
	m.Scheme, m.Protocol, m.Status = m.KeepString(o.Scheme), m.KeepString(o.Protocol), o.Status
	for i := range o.fields {
		f := o.fields[i]
		if f.ID != 0 {
			f.Name = names[f.ID]
		} else {
			f.Name = m.KeepString(f.Name)
		}
		f.Value, f.Case = m.KeepString(f.Value), m.KeepString(f.Case)
		m.append(f)
	}
}

// ByteSize is the sum of the lengths of names and values, pseudo headers included, as Envoy's
// HeaderMap::byteSize counts it.
func (m *Map) ByteSize() int {
	n := 0
	m.EachPseudo(func(name, value string) { n += len(name) + len(value) })
	for i := range m.fields {
		n += len(m.fields[i].Name) + len(m.fields[i].Value)
	}
	return n
}

// EachPseudo calls f for every pseudo header that is there, in the order of RFC 9113's examples.
func (m *Map) EachPseudo(f func(name, value string)) {
	for _, id := range [...]ID{Authority, Path, Method, Scheme, Protocol, Status} {
		if v, ok := m.pseudo(id); ok {
			f(names[id], v)
		}
	}
}

func (m *Map) pseudo(id ID) (string, bool) {
	switch id {
	case Method:
		return m.Method, m.Method != ""
	case Path:
		return m.Path, m.Path != ""
	case Authority, Host:
		return m.Authority, m.HasAuthority || m.Authority != ""
	case Scheme:
		return m.Scheme, m.Scheme != ""
	case Protocol:
		return m.Protocol, m.Protocol != ""
	case Status:
		return StatusString(m.Status), m.Status != 0
	}
	return "", false
}

func (m *Map) setPseudo(id ID, v string) {
	switch id {
	case Method:
		m.Method = v
	case Path:
		m.Path = v
	case Authority, Host:
		m.Authority, m.HasAuthority = v, true
	case Scheme:
		m.Scheme = v
	case Protocol:
		m.Protocol = v
	case Status:
		n := 0
		for i := range len(v) {
			if v[i] < '0' || v[i] > '9' || n > 9999 {
				return
			}
			n = n*10 + int(v[i]-'0')
		}
		m.Status = n
	}
}
