package http2

import (
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// decoder decodes header blocks. Fields of its table are strings of their own, which all messages that
// refer to one share; what is not indexed goes into the message's arena. It belongs to the read loop.
type decoder struct {
	table     ring
	limit     uint32 // what the table may grow to: our SETTINGS_HEADER_TABLE_SIZE
	maxString int
	scratch   []byte // of Huffman's code, decoded
}

func (d *decoder) init(limit uint32, maxString int) {
	// The peer's encoder begins at 4,096, and may go to limit by a size update. One below it holds from the
	// peer's ACK on; until then the larger table does no harm (RFC 7541 section 4.2).
	*d = decoder{limit: limit, maxString: maxString}
	d.table.capacity = initialTableSize
}

const initialTableSize = 4096

var (
	errHpack       = connError(http2.ErrCodeCompression, "header block is malformed")
	errHpackIndex  = connError(http2.ErrCodeCompression, "header block has an index that is not in the table")
	errHpackSize   = connError(http2.ErrCodeCompression, "table size update is over its limit or not at the block's start")
	errHpackString = connError(http2.ErrCodeCompression, "header field is over its limit")
)

// decode decodes a whole header block and gives its fields to to.
func (d *decoder) decode(b []byte, to *block) *Error {
	start := true
	for len(b) > 0 {
		var err *Error
		switch c := b[0]; {
		case c&0x80 != 0:
			b, err = d.indexed(b, to)
		case c&0xc0 == 0x40:
			b, err = d.literal(b, 6, true, to)
		case c&0xe0 == 0x20:
			if b, err = d.resize(b, start); err == nil {
				continue
			}
		default:
			b, err = d.literal(b, 4, false, to)
		}
		if err != nil {
			return err
		}
		start = false
	}
	if cap(d.scratch) > 4<<10 {
		d.scratch = nil
	}
	return nil
}

func (d *decoder) indexed(b []byte, to *block) ([]byte, *Error) {
	i, b, ok := readInt(b, 7)
	if !ok {
		return nil, errHpack
	}
	f := d.at(i)
	if f == nil {
		return nil, errHpackIndex
	}
	to.add(f)
	return b, nil
}

// at returns a field of either table, or nil.
func (d *decoder) at(i uint64) *field {
	const statics = 61
	switch {
	case i == 0 || i > uint64(statics+d.table.n):
		return nil
	case i <= statics:
		return &staticFields[i]
	}
	return d.table.newest(int(i) - statics - 1)
}

func (d *decoder) resize(b []byte, start bool) ([]byte, *Error) {
	n, b, ok := readInt(b, 5)
	if !ok || !start || n > uint64(max(d.limit, initialTableSize)) {
		return nil, errHpackSize
	}
	d.table.resize(uint32(n))
	return b, nil
}

func (d *decoder) literal(b []byte, bits uint8, index bool, to *block) ([]byte, *Error) {
	i, b, ok := readInt(b, bits)
	if !ok {
		return nil, errHpack
	}
	var f field
	var err *Error
	keep := index || to.wants()
	if i > 0 {
		named := d.at(i)
		if named == nil {
			return nil, errHpackIndex
		}
		f.name, f.id = named.name, named.id
	} else {
		var raw []byte
		if raw, b, err = d.string(b); err != nil {
			return nil, err
		}
		if keep {
			if f.id = header.IDOf(header.Borrow(raw)); f.id != 0 {
				f.name = f.id.String()
			} else {
				f.name = d.keep(raw, index, to)
			}
		}
	}
	raw, b, err := d.string(b)
	if err != nil {
		return nil, err
	}
	if !keep {
		to.skip()
		return b, nil
	}
	f.value = d.keep(raw, index, to)
	f.check()
	if index {
		d.table.add(&f)
	}
	to.add(&f)
	return b, nil
}

// keep makes a string of raw: one of its own for the table, or one in the message's arena.
func (d *decoder) keep(raw []byte, index bool, to *block) string {
	if index {
		return string(raw)
	}
	return to.m.Keep(raw)
}

// string reads a string literal (RFC 7541 section 5.2), valid until the next one is read.
func (d *decoder) string(b []byte) (s, rest []byte, err *Error) {
	if len(b) == 0 {
		return nil, nil, errHpack
	}
	coded := b[0]&0x80 != 0
	n, b, ok := readInt(b, 7)
	if !ok {
		return nil, nil, errHpack
	}
	if n > uint64(d.maxString) {
		return nil, nil, errHpackString
	}
	if n > uint64(len(b)) {
		return nil, nil, errHpack
	}
	s, rest = b[:n], b[n:]
	if !coded {
		return s, rest, nil
	}
	d.scratch = d.scratch[:0]
	if _, err := hpack.HuffmanDecode((*scratch)(&d.scratch), s); err != nil {
		return nil, nil, errHpack
	}
	return d.scratch, rest, nil
}

// scratch lets the library write into our buffer.
type scratch []byte

func (s *scratch) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}
