package metadataexchange

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/filters/common/memo"
	"github.com/pillion-proxy/pillion/filters/common/peer"
)

// A preamble is four bytes of magic, four of length, both big endian, and an Any of that length: a Struct
// with the two values that are headers in HTTP.
const (
	magic      = 0x3D230467
	headerSize = 8
	structURL  = "type.googleapis.com/google.protobuf.Struct"
	// maxFrame bounds what is kept of a preamble. Istio's are of a few hundred bytes.
	maxFrame = 64 << 10
	// firstRead is room for a preamble of the usual size.
	firstRead = 1 << 10
	// maxPeers is how many different preambles are known by their bytes.
	maxPeers = 500
)

// preamble makes ours.
func preamble(p *peer.Peer, id string) []byte {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{header.XEnvoyPeerMetadata.String(): structpb.NewStructValue(p.Metadata())}}
	if id != "" {
		s.Fields[header.XEnvoyPeerMetadataID.String()] = structpb.NewStringValue(id)
	}
	body := peer.Marshal(&anypb.Any{TypeUrl: structURL, Value: peer.Marshal(s)})
	b := make([]byte, 0, headerSize+len(body))
	b = binary.BigEndian.AppendUint32(b, magic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// peers knows those that have come, by what they have sent: connections of one workload have one Peer.
type peers struct {
	labels []string
	known  *memo.Map[string, *peer.Peer]
}

func newPeers(labels []string) *peers {
	return &peers{labels, memo.NewMap[string, *peer.Peer](maxPeers)}
}

// read finds the peer in the body of a preamble: nil is a preamble that tells of none. ok is false if it
// is no preamble at all.
func (k *peers) read(body []byte) (p *peer.Peer, ok bool) {
	if p, ok = k.known.Get(header.Borrow(body)); ok {
		return p, true
	}
	a, s := &anypb.Any{}, &structpb.Struct{}
	if proto.Unmarshal(body, a) != nil || a.GetTypeUrl() != structURL || proto.Unmarshal(a.GetValue(), s) != nil {
		return nil, false
	}
	if v := s.GetFields()[header.XEnvoyPeerMetadata.String()]; v != nil {
		p = peer.FromMetadata(v.GetStructValue(), k.labels)
	}
	return k.known.Put(strings.Clone(header.Borrow(body)), p), true
}

// stripped is a connection whose first bytes are the peer's preamble, which its readers do not see.
// Reading belongs to one goroutine at a time.
type stripped struct {
	net.Conn
	x      *exchange
	slot   *peer.Slot
	worker stats.Worker

	done bool   // the preamble is behind us, or there is none
	in   []byte // what was read: of the preamble, then of what came behind it
	err  error  // with which the connection ended before its preamble did
}

// Read reads what follows the preamble.
func (s *stripped) Read(p []byte) (int, error) {
	for !s.done {
		if err := s.fill(); err != nil {
			if network.IsTimeout(err) {
				return 0, err // a deadline of the reader's, who may try again
			}
			s.cut(err)
		}
	}
	if len(s.in) > 0 {
		n := copy(p, s.in)
		if s.in = s.in[n:]; len(s.in) == 0 {
			s.in = nil
		}
		return n, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	return s.Conn.Read(p)
}

// fill reads a piece of the preamble.
func (s *stripped) fill() error {
	if len(s.in) == cap(s.in) {
		grown := make([]byte, len(s.in), max(firstRead, 2*cap(s.in)))
		copy(grown, s.in)
		s.in = grown
	}
	n, err := s.Conn.Read(s.in[len(s.in):cap(s.in)])
	if n == 0 {
		return err
	}
	s.in = s.in[:len(s.in)+n]
	s.parse()
	return nil // an error comes again with the next read
}

// parse looks at what was read. A peer that sends no preamble sends what its application says.
func (s *stripped) parse() {
	if len(s.in) < headerSize {
		s.x.stats.InitialHeaderNotFound.Inc(s.worker)
		return
	}
	if binary.BigEndian.Uint32(s.in) != magic {
		s.x.stats.InitialHeaderNotFound.Inc(s.worker)
		s.finish(nil, 0)
		return
	}
	size := int64(binary.BigEndian.Uint32(s.in[4:]))
	if size > maxFrame {
		s.x.stats.HeaderNotFound.Inc(s.worker)
		s.finish(nil, headerSize)
		return
	}
	end := headerSize + int(size)
	if len(s.in) < end {
		return
	}
	p, ok := s.x.known.read(s.in[headerSize:end])
	if !ok {
		s.x.stats.HeaderNotFound.Inc(s.worker)
		end = headerSize
	}
	s.finish(p, end)
}

// finish ends the preamble behind n bytes.
func (s *stripped) finish(p *peer.Peer, n int) {
	s.done = true
	s.slot.Set(p)
	if s.in = s.in[n:]; len(s.in) == 0 {
		s.in = nil
	}
}

// cut is a connection that ends before its preamble: what there is of a header may be all that the
// application had to say, what there is of a body is not.
func (s *stripped) cut(err error) {
	s.err = err
	n := 0
	if len(s.in) >= headerSize {
		n = len(s.in)
	}
	s.finish(nil, n)
}

// CloseWrite shuts our side down where the transport can.
func (s *stripped) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
