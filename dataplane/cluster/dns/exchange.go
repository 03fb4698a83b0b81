package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	typeA    = uint16(dnsmessage.TypeA)
	typeAAAA = uint16(dnsmessage.TypeAAAA)
	// defaultPayload avoids fragments (https://www.dnsflagday.net/2020).
	defaultPayload = 1232
	maxMessage     = 1 << 16
)

// exchange asks one server once; an answer that does not fit into UDP is asked for over TCP.
func (r *Resolver) exchange(ctx context.Context, server netip.AddrPort, name string, kind uint16, tcp bool) ([]Answer, error) {
	q, query, err := r.query(name, kind)
	if err != nil {
		// A name that no zone can hold is one that does not exist.
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if !tcp {
		reply, err := overUDP(ctx, server, query, q)
		if err != nil {
			return nil, err
		}
		if !reply.truncated {
			return reply.answers(q)
		}
	}
	reply, err := overTCP(ctx, server, query, q)
	if err != nil {
		return nil, err
	}
	return reply.answers(q)
}

type question struct {
	id   uint16
	name dnsmessage.Name
	kind dnsmessage.Type
}

func (r *Resolver) query(name string, kind uint16) (question, []byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return question{}, nil, err
	}
	q := question{id: id(), name: n, kind: dnsmessage.Type(kind)}
	b := dnsmessage.NewBuilder(make([]byte, 2, 514), dnsmessage.Header{ID: q.id, RecursionDesired: true})
	payload := r.config.Payload
	if payload == 0 {
		payload = defaultPayload
	}
	var opt dnsmessage.ResourceHeader
	if err := errors.Join(b.StartQuestions(), b.Question(dnsmessage.Question{Name: n, Type: q.kind, Class: dnsmessage.ClassINET}), b.StartAdditionals(),
		opt.SetEDNS0(int(payload), dnsmessage.RCodeSuccess, false), b.OPTResource(opt, dnsmessage.OPTResource{})); err != nil {
		return question{}, nil, err
	}
	msg, err := b.Finish()
	if err != nil {
		return question{}, nil, err
	}
	binary.BigEndian.PutUint16(msg, uint16(len(msg)-2)) // the length that TCP wants
	return q, msg, nil
}

// reply is a response that belongs to the question.
type reply struct {
	parser    dnsmessage.Parser
	code      dnsmessage.RCode
	truncated bool
}

func overUDP(ctx context.Context, server netip.AddrPort, query []byte, q question) (reply, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", server.String())
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	defer deadline(ctx, conn)()
	if _, err := conn.Write(query[2:]); err != nil {
		return reply{}, err
	}
	buf := make([]byte, maxMessage)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return reply{}, err
		}
		// What does not belong to the question is somebody else's, or somebody's attack: wait on.
		if r, err := parse(buf[:n], q); err == nil {
			return r, nil
		}
	}
}

func overTCP(ctx context.Context, server netip.AddrPort, query []byte, q question) (reply, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server.String())
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	defer deadline(ctx, conn)()
	if _, err := conn.Write(query); err != nil {
		return reply{}, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return reply{}, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return reply{}, err
	}
	return parse(buf, q)
}

// deadline has ctx's end wake whoever reads or writes, and returns what takes that back.
func deadline(ctx context.Context, conn net.Conn) func() {
	if d, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(d)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

var errForeign = errors.New("the response is not to this question")

func parse(msg []byte, q question) (reply, error) {
	var r reply
	h, err := r.parser.Start(msg)
	if err != nil {
		return r, err
	}
	got, err := r.parser.Question()
	if err != nil {
		return r, err
	}
	if !h.Response || h.ID != q.id || got.Type != q.kind || got.Class != dnsmessage.ClassINET || !strings.EqualFold(got.Name.String(), q.name.String()) {
		return r, errForeign
	}
	r.code, r.truncated = h.RCode, h.Truncated
	return r, r.parser.SkipAllQuestions()
}

// answers reads the addresses; names along a chain of CNAMEs count, each with its time to live.
func (r *reply) answers(q question) ([]Answer, error) {
	switch r.code {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return nil, fmt.Errorf("%s: %w", q.name, ErrNotFound)
	default:
		return nil, fmt.Errorf("server says %s", strings.TrimPrefix(r.code.String(), "RCode"))
	}
	owner, chain := strings.ToLower(q.name.String()), time.Duration(1<<31-1)*time.Second
	var out []Answer
	for {
		h, err := r.parser.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return nil, err
		}
		ttl := time.Duration(h.TTL) * time.Second
		mine := strings.ToLower(h.Name.String()) == owner
		switch {
		case mine && h.Type == dnsmessage.TypeCNAME:
			c, err := r.parser.CNAMEResource()
			if err != nil {
				return nil, err
			}
			owner, chain = strings.ToLower(c.CNAME.String()), min(chain, ttl)
		case mine && h.Type == q.kind && h.Type == dnsmessage.TypeA:
			a, err := r.parser.AResource()
			if err != nil {
				return nil, err
			}
			out = append(out, Answer{netip.AddrFrom4(a.A), min(ttl, chain)})
		case mine && h.Type == q.kind && h.Type == dnsmessage.TypeAAAA:
			a, err := r.parser.AAAAResource()
			if err != nil {
				return nil, err
			}
			out = append(out, Answer{netip.AddrFrom16(a.AAAA), min(ttl, chain)})
		default:
			if err := r.parser.SkipAnswer(); err != nil {
				return nil, err
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: %w", q.name, ErrNotFound)
	}
	return out, nil
}
