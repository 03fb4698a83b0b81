package route

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// domains finds the virtual host of a host name: exact names first, then wildcards at the beginning, the
// longest first, then wildcards at the end, the longest first, then "*".
type domains struct {
	exact          map[string]*VirtualHost
	suffix, prefix []wildcards
	any            *VirtualHost
}

// wildcards are those of one length.
type wildcards struct {
	size int
	of   map[string]*VirtualHost // by the text without its "*"
}

type domainsCompiler struct {
	config         string
	d              domains
	suffix, prefix map[int]map[string]*VirtualHost
}

func newDomainsCompiler(config string) *domainsCompiler {
	return &domainsCompiler{config: config, d: domains{exact: map[string]*VirtualHost{}}, suffix: map[int]map[string]*VirtualHost{}, prefix: map[int]map[string]*VirtualHost{}}
}

func (c *domainsCompiler) add(names []string, v *VirtualHost) error {
	for _, name := range names {
		name = lowerString(name)
		fresh := true
		switch {
		case name == "*":
			if c.d.any != nil {
				return fmt.Errorf("Only a single wildcard domain is permitted in route %s", c.config)
			}
			c.d.any = v
		case strings.HasPrefix(name, "*"):
			fresh = put(c.suffix, name[1:], v)
		case strings.HasSuffix(name, "*"):
			fresh = put(c.prefix, name[:len(name)-1], v)
		default:
			if _, fresh = c.d.exact[name]; !fresh {
				c.d.exact[name] = v
			}
			fresh = !fresh
		}
		if !fresh {
			return fmt.Errorf("Only unique values for domains are permitted. Duplicate entry of domain %s in route %s", name, c.config)
		}
	}
	if len(names) == 0 {
		return errors.New("VirtualHost.domains: value must contain at least 1 item(s)")
	}
	return nil
}

func put(m map[int]map[string]*VirtualHost, text string, v *VirtualHost) bool {
	of := m[len(text)]
	if of == nil {
		of = map[string]*VirtualHost{}
		m[len(text)] = of
	}
	if _, has := of[text]; has {
		return false
	}
	of[text] = v
	return true
}

func (c *domainsCompiler) finish() domains {
	for _, side := range []struct {
		from map[int]map[string]*VirtualHost
		to   *[]wildcards
	}{{c.suffix, &c.d.suffix}, {c.prefix, &c.d.prefix}} {
		for size, of := range side.from {
			*side.to = append(*side.to, wildcards{size, of})
		}
		slices.SortFunc(*side.to, func(a, b wildcards) int { return cmp.Compare(b.size, a.size) })
	}
	return c.d
}

// find returns the virtual host of a name in whatever case; nil if there is none. A wildcard stands for
// at least one character.
func (d *domains) find(host string) *VirtualHost {
	if len(d.exact) == 0 && len(d.suffix)+len(d.prefix) == 0 {
		return d.any
	}
	var space [256]byte
	name := foldInto(space[:0], host)
	if v := d.exact[string(name)]; v != nil {
		return v
	}
	for i := range d.suffix {
		if w := &d.suffix[i]; len(name) > w.size {
			if v := w.of[string(name[len(name)-w.size:])]; v != nil {
				return v
			}
		}
	}
	for i := range d.prefix {
		if w := &d.prefix[i]; len(name) > w.size {
			if v := w.of[string(name[:w.size])]; v != nil {
				return v
			}
		}
	}
	return d.any
}

// foldInto appends s in lower case.
func foldInto(dst []byte, s string) []byte {
	dst = append(dst, s...)
	for i, c := range dst {
		if c-'A' < 26 {
			dst[i] = c + ('a' - 'A')
		}
	}
	return dst
}

// withoutPort cuts the port off, which begins at the last colon outside of brackets.
func withoutPort(host string) string {
	at := strings.LastIndexByte(host, ':')
	if at < 0 || strings.LastIndexByte(host, ']') > at {
		return host
	}
	return host[:at]
}
