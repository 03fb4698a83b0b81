package transport

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/secret"
)

// bindKeys derives crypto/tls's ticket keys from configured ones: proxies with the same keys and the
// same context resume each other's sessions, other contexts do not.
func bindKeys(keys *secret.TicketKeys, scope [sha256.Size]byte) [][32]byte {
	out := make([][32]byte, len(keys.Keys))
	for i := range keys.Keys {
		m := hmac.New(sha256.New, keys.Keys[i][:])
		m.Write(scope[:])
		out[i] = [32]byte(m.Sum(nil))
	}
	return out
}

// limitTickets has sessions end at an age: crypto/tls's own limit is seven days.
func limitTickets(c *tls.Config, age time.Duration) {
	c.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		stamp := binary.BigEndian.AppendUint64([]byte(ticketStamp), uint64(time.Now().Unix()))
		s.Extra = append(s.Extra, stamp)
		return c.EncryptTicket(cs, s)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		s, err := c.DecryptTicket(ticket, cs)
		if s == nil || err != nil {
			return nil, err
		}
		for i, e := range s.Extra {
			if len(e) == len(ticketStamp)+8 && string(e[:len(ticketStamp)]) == ticketStamp {
				made := time.Unix(int64(binary.BigEndian.Uint64(e[len(ticketStamp):])), 0)
				if time.Since(made) >= age {
					return nil, nil //nolint:nilnil // crypto/tls's way to say: no session.
				}
				s.Extra = append(s.Extra[:i:i], s.Extra[i+1:]...)
				return s, nil
			}
		}
		return nil, nil //nolint:nilnil // a ticket that was not stamped here
	}
}

// ticketStamp marks what limitTickets keeps in a session.
const ticketStamp = "pillion "
