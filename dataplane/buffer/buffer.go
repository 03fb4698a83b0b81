// Package buffer holds the pooled byte buffers that connections read into, by size class.
package buffer

import "sync"

// Small and Large are the two size classes in bytes: a request head with a small body fits the
// first, a streamed body is moved in pieces of the second.
const (
	Small = 4 << 10
	Large = 32 << 10
)

// Buffer is a read buffer: B[R:W] is what was read and not yet consumed. It belongs to one goroutine.
type Buffer struct {
	B    []byte
	R, W int
}

// Get returns an empty buffer of at least n bytes; sizes over Large are not pooled.
func Get(n int) *Buffer {
	switch {
	case n <= Small:
		return small.Get().(*Buffer)
	case n <= Large:
		return large.Get().(*Buffer)
	}
	return &Buffer{B: make([]byte, n)}
}

// Put gives b back. Nothing may point into it any more.
func Put(b *Buffer) {
	if b == nil {
		return
	}
	b.R, b.W = 0, 0
	switch len(b.B) {
	case Small:
		small.Put(b)
	case Large:
		large.Put(b)
	}
}

// Len is the number of bytes that wait to be consumed.
func (b *Buffer) Len() int { return b.W - b.R }

// Bytes returns the unread bytes, valid until the next read into b.
func (b *Buffer) Bytes() []byte { return b.B[b.R:b.W] }

// Consume drops n unread bytes.
func (b *Buffer) Consume(n int) {
	b.R += n
	if b.R == b.W {
		b.R, b.W = 0, 0
	}
}

// Space returns where the next read may write, after moving the unread bytes to the front if
// there is no room behind them. It is empty when b is full.
func (b *Buffer) Space() []byte {
	if b.W == len(b.B) && b.R > 0 {
		b.W = copy(b.B, b.B[b.R:b.W])
		b.R = 0
	}
	return b.B[b.W:]
}

// Wrote tells that a read put n bytes into Space.
func (b *Buffer) Wrote(n int) { b.W += n }

// Grown returns a buffer with b's unread bytes and room for n in all; b goes back to its pool.
func Grown(b *Buffer, n int) *Buffer {
	to := Get(n)
	to.W = copy(to.B, b.Bytes())
	Put(b)
	return to
}

// The pools are the runtime's own per-P free lists: no lock on the path.
var (
	small = sync.Pool{New: func() any { return &Buffer{B: make([]byte, Small)} }}
	large = sync.Pool{New: func() any { return &Buffer{B: make([]byte, Large)} }}
)
