// Package dns resolves host names to addresses with the time that each may be kept, which net.Resolver
// does not tell: resolv.conf, search lists, /etc/hosts, UDP with TCP behind it.
package dns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Family is which addresses are wanted, as cluster.v3's dns_lookup_family says.
type Family uint8

// The families. Auto takes IPv6 addresses, and IPv4 ones if there are none; V4Preferred the other way
// round; All both.
const (
	Auto Family = iota
	V4Only
	V6Only
	V4Preferred
	All
)

// Answer is one address and how long it may be kept.
type Answer struct {
	Addr netip.Addr
	TTL  time.Duration
}

// Config is how a Resolver asks. The zero Config asks as resolv.conf says.
type Config struct {
	// Servers take the place of resolv.conf's; with Fallback only where that names none.
	Servers  []netip.AddrPort
	Fallback bool
	// TCP asks over TCP alone.
	TCP bool
	// NoSearch takes names as they are, without resolv.conf's search list.
	NoSearch bool
	// Unroutable families are asked for all the same, unless FilterUnroutable is set.
	FilterUnroutable bool
	// Timeout is of the first try and grows with the next; 0: resolv.conf's, or 5 s. Tries is how often
	// each server is asked; 0: resolv.conf's, or 4.
	Timeout time.Duration
	Tries   int
	// Rotate begins with another server each time.
	Rotate bool
	// Payload is the size of UDP answers that is asked for; 0: 1232.
	Payload uint16
	// ResolvConf and Hosts are the files' paths; "": those in /etc.
	ResolvConf, Hosts string
}

// Resolver resolves names. It keeps nothing but the two files: clusters refresh by themselves.
type Resolver struct {
	config Config
	conf   file[resolvConf]
	hosts  file[hosts]
	turn   sync.Mutex
	next   int // guarded by turn
}

// New makes a resolver.
func New(c Config) *Resolver {
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	if c.Hosts == "" {
		c.Hosts = "/etc/hosts"
	}
	r := &Resolver{config: c}
	r.conf = file[resolvConf]{path: c.ResolvConf, parse: parseResolvConf}
	r.hosts = file[hosts]{path: c.Hosts, parse: parseHosts}
	return r
}

// ErrNotFound tells that the name exists in no zone, or has no addresses of the wanted family: the
// servers have answered.
var ErrNotFound = errors.New("no such host")

// localTTL is the time for answers that no server has given.
const localTTL = 5 * time.Second

// Lookup resolves name. Its error is ErrNotFound where there are no addresses, another one where no
// server could be asked.
func (r *Resolver) Lookup(ctx context.Context, name string, f Family) ([]Answer, error) {
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return []Answer{{a, localTTL}}, nil
	}
	if local := r.local(name); local != nil {
		return choose(local, f)
	}
	switch f {
	case V4Only:
		return r.search(ctx, name, typeA)
	case V6Only:
		return r.search(ctx, name, typeAAAA)
	case V4Preferred:
		return r.either(ctx, name, typeA, typeAAAA)
	case All:
		return r.both(ctx, name)
	default:
		return r.either(ctx, name, typeAAAA, typeA)
	}
}

// local returns what /etc/hosts says; localhost is ours by RFC 6761, section 6.3.
func (r *Resolver) local(name string) []Answer {
	key := strings.ToLower(strings.TrimSuffix(name, "."))
	addrs := r.hosts.get()[key]
	if len(addrs) == 0 && (key == "localhost" || strings.HasSuffix(key, ".localhost")) {
		addrs = []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	var out []Answer
	for _, a := range addrs {
		out = append(out, Answer{a, localTTL})
	}
	return out
}

// choose keeps the addresses of a family.
func choose(all []Answer, f Family) ([]Answer, error) {
	var v4, v6, out []Answer
	for _, a := range all {
		if a.Addr.Unmap().Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	switch {
	case f == All:
		out = all
	case f == V4Only || f == V4Preferred && len(v4) > 0 || f == Auto && len(v6) == 0:
		out = v4
	default:
		out = v6
	}
	if len(out) == 0 {
		return nil, ErrNotFound
	}
	return out, nil
}

func (r *Resolver) either(ctx context.Context, name string, first, second uint16) ([]Answer, error) {
	var missing error = ErrNotFound
	if r.routable(first) {
		a, err := r.search(ctx, name, first)
		if err == nil {
			return a, nil
		}
		missing = err
	}
	if !r.routable(second) {
		return nil, missing
	}
	a, err := r.search(ctx, name, second)
	if errors.Is(err, ErrNotFound) && !errors.Is(missing, ErrNotFound) {
		return nil, missing // the first family may yet have some
	}
	return a, err
}

func (r *Resolver) both(ctx context.Context, name string) ([]Answer, error) {
	var v4, v6 []Answer
	var err4, err6 error
	var wait sync.WaitGroup
	// Owned by this call, which waits for it.
	wait.Go(func() { v4, err4 = r.search(ctx, name, typeA) })
	v6, err6 = r.search(ctx, name, typeAAAA)
	wait.Wait()
	if all := append(v6, v4...); len(all) > 0 {
		return all, nil
	}
	if errors.Is(err6, ErrNotFound) {
		return nil, err4
	}
	return nil, err6
}

// routable tells whether the machine has an address of the record type's family, where that is asked.
func (r *Resolver) routable(kind uint16) bool {
	if !r.config.FilterUnroutable {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() && p.Addr().Is4() == (kind == typeA)
	})
}

// search tries the name with the suffixes of the search list.
func (r *Resolver) search(ctx context.Context, name string, kind uint16) ([]Answer, error) {
	conf := r.conf.get()
	missing := fmt.Errorf("%s: %w", name, ErrNotFound)
	for _, full := range conf.names(name, r.config.NoSearch) {
		a, err := r.ask(ctx, &conf, full, kind)
		if err == nil || !errors.Is(err, ErrNotFound) {
			return a, err
		}
	}
	return nil, missing
}

// ask asks the servers for one full name, one after the other, until one has answered.
func (r *Resolver) ask(ctx context.Context, conf *resolvConf, name string, kind uint16) ([]Answer, error) {
	servers := r.servers(conf)
	timeout, tries := r.config.Timeout, r.config.Tries
	if timeout == 0 {
		timeout = conf.timeout
	}
	if tries == 0 {
		tries = conf.tries
	}
	var last error
	for try := range tries {
		for _, s := range servers {
			one, cancel := context.WithTimeout(ctx, timeout<<min(try, 4))
			a, err := r.exchange(one, s, name, kind, r.config.TCP || conf.tcp)
			cancel()
			if err == nil || errors.Is(err, ErrNotFound) {
				return a, err
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("resolving %s: %w", name, ctx.Err())
			}
			last = fmt.Errorf("resolving %s by %v: %w", name, s, err)
		}
	}
	return nil, last
}

func (r *Resolver) servers(conf *resolvConf) []netip.AddrPort {
	servers := r.config.Servers
	if len(servers) == 0 || r.config.Fallback && conf.given {
		servers = conf.servers
	}
	if (r.config.Rotate || conf.rotate) && len(servers) > 1 {
		r.turn.Lock()
		at := r.next % len(servers)
		r.next++
		r.turn.Unlock()
		servers = append(slices.Clone(servers[at:]), servers[:at]...)
	}
	return servers
}

// id is a random query number.
func id() uint16 { return uint16(rand.Uint32()) }
