package http2

import (
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// HPACK (RFC 7541) is our own but for Huffman's code, which is the library's: its decoder and encoder
// keep strings and maps for every field that passes, its encoder can neither leave a field out of the
// table nor out of Huffman's code.

// field is one header field of a table.
type field struct {
	name, value string
	id          header.ID
	valid       uint8 // what is known of name and value, so that it is looked at once
}

// What is known of a field.
const (
	nameValid  = 1 << iota
	valueValid // without obs-text
	valueObs   // with it
)

// size is what the field counts in a table (RFC 7541 section 4.1).
func (f *field) size() uint32 { return uint32(len(f.name)+len(f.value)) + fieldOverhead }

const fieldOverhead = 32

// isPseudo tells the well-known pseudo headers.
func isPseudo(id header.ID) bool { return id != 0 && id <= header.Status }

// check fills in f.valid.
func (f *field) check() {
	f.valid = 0
	if f.id != 0 || validName(f.name) {
		f.valid |= nameValid
	}
	switch {
	case validValue(f.value, false):
		f.valid |= valueValid
	case validValue(f.value, true):
		f.valid |= valueObs
	}
}

// staticFields is RFC 7541 appendix A, from 1.
var staticFields = func() []field {
	const appendixA = `:authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|` +
		`:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|accept-language|` +
		`accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|content-encoding|` +
		`content-language|content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|` +
		`if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|` +
		`proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|` +
		`vary|via|www-authenticate`
	t := make([]field, 1, 62)
	for s := range strings.SplitSeq(appendixA, "|") {
		name, value, _ := strings.Cut(s, "=")
		f := field{name: name, value: value, id: header.IDOf(name)}
		f.check()
		t = append(t, f)
	}
	return t
}()

// staticName is the first entry of the static table with the name of an ID, or 0.
var staticName = func() (t [256]uint8) {
	for i := len(staticFields) - 1; i > 0; i-- {
		if id := staticFields[i].id; id != 0 {
			t[id] = uint8(i)
		}
	}
	return t
}()

// ring is a dynamic table: fields in the order of their insertion.
type ring struct {
	fields         []field // a power of two
	first, n       int     // the oldest, and how many
	size, capacity uint32
}

// newest returns the i-th newest field; 0 is the newest.
func (r *ring) newest(i int) *field {
	return &r.fields[(r.first+r.n-1-i)&(len(r.fields)-1)]
}

// add inserts f and evicts what it pushes out. It reports false for one that is larger than the table,
// which empties it.
func (r *ring) add(f *field) bool {
	n := f.size()
	if n > r.capacity {
		r.evict(0)
		return false
	}
	r.evict(r.capacity - n)
	if r.n == len(r.fields) {
		grown := make([]field, max(2*len(r.fields), 8))
		for i := range r.n {
			grown[i] = r.fields[(r.first+i)&(len(r.fields)-1)]
		}
		r.fields, r.first = grown, 0
	}
	r.fields[(r.first+r.n)&(len(r.fields)-1)] = *f
	r.n++
	r.size += n
	return true
}

// evict drops the oldest fields until at most size is left.
func (r *ring) evict(size uint32) {
	for r.size > size {
		f := &r.fields[r.first]
		r.size -= f.size()
		*f = field{}
		r.first = (r.first + 1) & (len(r.fields) - 1)
		r.n--
	}
}

// resize changes the capacity.
func (r *ring) resize(capacity uint32) {
	r.capacity = capacity
	r.evict(capacity)
}

// appendInt appends n in the form of RFC 7541 section 5.1, behind the flags that share its first byte.
func appendInt(b []byte, flags byte, bits uint8, n uint64) []byte {
	limit := uint64(1)<<bits - 1
	if n < limit {
		return append(b, flags|byte(n))
	}
	b = append(b, flags|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// readInt reads an integer of RFC 7541 section 5.1. It reports false if b ends within it or it is over
// 32 bits.
func readInt(b []byte, bits uint8) (n uint64, rest []byte, ok bool) {
	limit := uint64(1)<<bits - 1
	n = uint64(b[0]) & limit
	b = b[1:]
	if n < limit {
		return n, b, true
	}
	for shift := 0; shift <= 28; shift += 7 {
		if len(b) == 0 {
			return 0, nil, false
		}
		c := b[0]
		b = b[1:]
		n += uint64(c&0x7f) << shift
		if c < 0x80 {
			return n, b, n <= 1<<32-1
		}
	}
	return 0, nil, false
}
