package dns

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// file is a parsed configuration file, read again when it has changed.
type file[T any] struct {
	path  string
	parse func(text string) T

	mu      sync.Mutex
	value   T         // guarded by mu
	checked time.Time // guarded by mu
	changed time.Time // guarded by mu: of the version that was read
	read    bool      // guarded by mu
}

// recheck is how long a file is taken to be as it was.
const recheck = 5 * time.Second

func (f *file[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.read && now.Sub(f.checked) < recheck {
		return f.value
	}
	f.checked = now
	var changed time.Time
	if info, err := os.Stat(f.path); err == nil {
		changed = info.ModTime()
	}
	if f.read && changed.Equal(f.changed) {
		return f.value
	}
	text, _ := os.ReadFile(f.path) // a missing file is an empty one
	f.value, f.changed, f.read = f.parse(string(text)), changed, true
	return f.value
}

type resolvConf struct {
	servers     []netip.AddrPort
	given       bool // servers are the file's
	search      []string
	ndots       int
	timeout     time.Duration
	tries       int
	rotate, tcp bool
}

const (
	defaultTimeout = 5 * time.Second
	defaultTries   = 4
	dnsPort        = 53
	maxServers     = 3
)

// parseResolvConf reads resolv.conf(5). Lines that it does not know it passes over.
func parseResolvConf(text string) resolvConf {
	c := resolvConf{ndots: 1, timeout: defaultTimeout, tries: defaultTries}
	for line := range strings.Lines(text) {
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, netip.AddrPortFrom(a, dnsPort))
			}
		case "domain":
			c.search = []string{strings.TrimSuffix(f[1], ".")}
		case "search":
			c.search = nil
			for _, s := range f[1:] {
				c.search = append(c.search, strings.TrimSuffix(s, "."))
			}
		case "options":
			for _, o := range f[1:] {
				c.option(o)
			}
		}
	}
	if c.given = len(c.servers) > 0; !c.given {
		c.servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return c
}

func (c *resolvConf) option(o string) {
	name, value, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(value)
	switch {
	case name == "rotate":
		c.rotate = true
	case name == "use-vc":
		c.tcp = true
	case err != nil || n < 0:
	case name == "ndots":
		c.ndots = min(n, 15)
	case name == "timeout" && n > 0:
		c.timeout = time.Duration(min(n, 30)) * time.Second
	case name == "attempts" && n > 0:
		c.tries = min(n, 5)
	}
}

// names are the full names to try for name, in order.
func (c *resolvConf) names(name string, plain bool) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	full := name + "."
	if plain {
		return []string{full}
	}
	var out []string
	first := strings.Count(name, ".") >= c.ndots
	if first {
		out = append(out, full)
	}
	for _, s := range c.search {
		out = append(out, full+s+".")
	}
	if !first {
		out = append(out, full)
	}
	return out
}

// hosts are the addresses by lower-case name.
type hosts map[string][]netip.Addr

// parseHosts reads hosts(5).
func parseHosts(text string) hosts {
	h := hosts{}
	for line := range strings.Lines(text) {
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		for _, name := range f[1:] {
			name = strings.ToLower(name)
			h[name] = append(h[name], a)
		}
	}
	return h
}
