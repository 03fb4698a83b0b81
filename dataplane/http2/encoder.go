package http2

import (
	"hash/maphash"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// encoder encodes header blocks. A field goes into the table when it is met the second time, so that
// values which differ each time neither push out those that repeat nor cost a copy. It is guarded by the
// connection's mu: blocks are encoded in the order in which they are written.
type encoder struct {
	table ring
	// at and names find fields by hash, as 1 + the number of their insertion. A slot may be stale, and a
	// field may have lost its slot to another: then it is inserted once more.
	at    []uint32
	names []uint32
	seen  []uint32 // hashes of fields met once
	count uint32   // of insertions
	limit uint32   // our own bound of the table
	// shrunk and changed tell that the peer must be told of the table's size; smallest is what it was in
	// between (RFC 7541 section 4.2).
	changed  bool
	smallest uint32
	plain    bool // no Huffman's code
}

const (
	slotBits = 8
	nameBits = 6
	seenBits = 6
)

func (e *encoder) init(limit uint32, plain bool) {
	*e = encoder{limit: limit, plain: plain}
	e.table.capacity = initialTableSize
	if limit < initialTableSize {
		e.resize(limit)
	}
}

// resize obeys the peer's SETTINGS_HEADER_TABLE_SIZE.
func (e *encoder) resize(n uint32) {
	n = min(n, e.limit)
	if n == e.table.capacity && !e.changed {
		return
	}
	if !e.changed {
		e.changed, e.smallest = true, n
	}
	e.smallest = min(e.smallest, n)
	e.table.resize(n)
}

// start appends what a block must begin with.
func (e *encoder) start(b []byte) []byte {
	if !e.changed {
		return b
	}
	e.changed = false
	if e.smallest < e.table.capacity {
		b = appendInt(b, 0x20, 5, uint64(e.smallest))
	}
	return appendInt(b, 0x20, 5, uint64(e.table.capacity))
}

var seed = maphash.MakeSeed()

func hashOf(id header.ID, name, value string) uint64 {
	h := maphash.String(seed, value)
	if id != 0 {
		return h ^ uint64(id)*0x9e3779b97f4a7c15
	}
	return h ^ maphash.String(seed, name)*0x9e3779b97f4a7c15
}

// noIndex are the names whose values are not worth a place in the table, never those that no one on the
// way may put into one (RFC 7541 section 7.1.3).
func noIndex(id header.ID, value string) (no, never bool) {
	switch id {
	case header.Authorization:
		return true, true
	case header.Cookie:
		never = len(value) < 20 // short enough to be guessed
		return never, never
	case header.ContentLength, header.SetCookie, header.Age, header.Etag, header.IfNoneMatch, header.Location, header.XRequestID,
		header.TraceParent, header.XB3TraceID, header.GrpcMessage, header.XEnvoyUpstreamServiceTime, header.XEnvoyExpectedRqTimeoutMs:
		return true, false
	}
	return false, false
}

// field appends one field.
func (e *encoder) field(b []byte, id header.ID, name, value string) []byte {
	no, never := noIndex(id, value)
	h := uint64(0)
	if !no {
		h = hashOf(id, name, value)
		if i := e.find(h, name, value); i != 0 {
			return appendInt(b, 0x80, 7, i)
		}
	}
	index := e.nameIndex(id, name)
	insert := index == 0 && !never || !no && e.again(h)
	switch {
	case insert && uint32(len(name)+len(value)+fieldOverhead) <= e.table.capacity/4:
		b = appendInt(b, 0x40, 6, index)
		if no {
			h = hashOf(id, name, value)
		}
		e.insert(h, id, name, value)
	case never:
		b = appendInt(b, 0x10, 4, index)
	default:
		b = appendInt(b, 0, 4, index)
	}
	if index == 0 {
		b = e.string(b, name)
	}
	return e.string(b, value)
}

// find returns the index of a field of the dynamic table, or 0.
func (e *encoder) find(h uint64, name, value string) uint64 {
	if e.at == nil {
		return 0
	}
	for _, slot := range [2]uint64{h & (1<<slotBits - 1), h >> (64 - slotBits)} {
		if f, i := e.inserted(e.at[slot]); f != nil && f.value == value && f.name == name {
			return i
		}
	}
	return 0
}

// inserted returns the field of the n-th insertion and its index, or nil if it is gone.
func (e *encoder) inserted(n uint32) (*field, uint64) {
	age := e.count - n
	if n == 0 || age >= uint32(e.table.n) {
		return nil, 0
	}
	return e.table.newest(int(age)), 62 + uint64(age)
}

// nameIndex returns the index of a field of that name, or 0.
func (e *encoder) nameIndex(id header.ID, name string) uint64 {
	if i := staticName[id]; i != 0 {
		return uint64(i)
	}
	if e.names == nil {
		return 0
	}
	if f, i := e.inserted(e.names[nameSlot(id, name)]); f != nil && f.name == name {
		return i
	}
	return 0
}

func nameSlot(id header.ID, name string) uint64 {
	if id != 0 {
		return uint64(id) & (1<<nameBits - 1)
	}
	return maphash.String(seed, name) & (1<<nameBits - 1)
}

// again tells whether a field was met before, as far as is remembered.
func (e *encoder) again(h uint64) bool {
	if e.seen == nil {
		e.seen = make([]uint32, 1<<seenBits)
	}
	at := &e.seen[h>>32&(1<<seenBits-1)]
	if *at == uint32(h) {
		return true
	}
	*at = uint32(h)
	return false
}

// insert puts a copy of the field into the table.
func (e *encoder) insert(h uint64, id header.ID, name, value string) {
	f := field{id: id, value: strings.Clone(value)}
	if id != 0 {
		f.name = id.String()
	} else {
		f.name = strings.Clone(name)
	}
	if !e.table.add(&f) {
		return
	}
	if e.at == nil {
		e.at, e.names = make([]uint32, 1<<slotBits), make([]uint32, 1<<nameBits)
	}
	e.count++
	first, second := h&(1<<slotBits-1), h>>(64-slotBits)
	if old, _ := e.inserted(e.at[first]); old != nil {
		first = second
	}
	e.at[first] = e.count
	e.names[nameSlot(id, name)] = e.count
}

// string appends a string literal (RFC 7541 section 5.2).
func (e *encoder) string(b []byte, s string) []byte {
	if !e.plain {
		if n := hpack.HuffmanEncodeLength(s); n < uint64(len(s)) {
			return hpack.AppendHuffmanString(appendInt(b, 0x80, 7, n), s)
		}
	}
	return append(appendInt(b, 0, 7, uint64(len(s))), s...)
}

// static appends a field of the static table.
func static(b []byte, index byte) []byte { return append(b, 0x80|index) }
