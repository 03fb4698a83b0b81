package hcm

import (
	"math/rand/v2"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

// requestID is the request ID extension, of which there is one: envoy.request_id.uuid.
type requestID struct {
	generate, preserveExternal, inResponse bool
	// packTrace writes the trace reason into the ID (pack_trace_reason, on by default), useForSampling
	// takes random values from it (use_request_id_for_trace_sampling, on by default).
	packTrace, useForSampling bool
}

// uuidLen is the length of a UUID's text.
const uuidLen = 36

// traceReason is Envoy's Tracing::Reason in the fourteenth character of an x-request-id.
type traceReason byte

const (
	notTraceable   traceReason = '4' // what a UUIDv4 has there
	traceSampled   traceReason = '9'
	traceForced    traceReason = 'a'
	traceClient    traceReason = 'b'
	reasonPosition             = 14
)

// set gives the request an x-request-id, unless it has one that may stay.
func (r *requestID) set(s *filter.Stream, edge bool) {
	h := &s.Request.Map
	old, ok := h.Lookup(header.XRequestID)
	if ok && old != "" && (!edge || r.preserveExternal) {
		return
	}
	h.SetID(header.XRequestID, header.Borrow(appendUUID(h.Grow(uuidLen)[:0])))
}

// appendUUID appends a random UUID, version 4 (RFC 9562 section 5.4).
func appendUUID(dst []byte) []byte {
	const hex = "0123456789abcdef"
	hi, lo := rand.Uint64(), rand.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	for i := range 16 {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		v := hi
		if i >= 8 {
			v = lo
		}
		b := byte(v >> (56 - 8*(i&7)))
		dst = append(dst, hex[b>>4], hex[b&15])
	}
	return dst
}

// reason reads the trace reason of an x-request-id; 0 for one that is no UUID.
func reasonOf(id string) traceReason {
	if len(id) != uuidLen {
		return 0
	}
	switch r := traceReason(id[reasonPosition]); r {
	case traceSampled, traceForced, traceClient:
		return r
	}
	return notTraceable
}

// setReason writes the trace reason into the request's x-request-id.
func (r *requestID) setReason(s *filter.Stream, reason traceReason) {
	if !r.packTrace {
		return
	}
	h := &s.Request.Map
	id, ok := h.Lookup(header.XRequestID)
	if !ok || len(id) != uuidLen || traceReason(id[reasonPosition]) == reason {
		return
	}
	b := h.Grow(uuidLen)
	copy(b, id)
	b[reasonPosition] = byte(reason)
	h.SetID(header.XRequestID, header.Borrow(b))
}

// random is the number that the first eight digits of a UUID are, for sampling by request ID.
func (r *requestID) random(id string) (uint64, bool) {
	if !r.useForSampling || len(id) < 8 {
		return 0, false
	}
	var n uint64
	for i := range 8 {
		if !isHex(id[i]) {
			return 0, false
		}
		n = n<<4 | uint64(unhex(id[i]))
	}
	return n, true
}
