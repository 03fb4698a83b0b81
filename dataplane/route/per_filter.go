package route

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// filterConfig is one entry of typed_per_filter_config.
type filterConfig struct {
	name     string
	value    any // nil: the entry says enabled or disabled alone
	disabled bool
}

// filterLevels are the entries of the levels above the virtual host.
type filterLevels struct{ variant, route []filterConfig }

// perFilter compiles one level; the result is sorted by name.
func (c *compiler) perFilter(configs map[string]*anypb.Any) ([]filterConfig, error) {
	if len(configs) == 0 {
		return nil, nil
	}
	list := make([]filterConfig, 0, len(configs))
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		f, ok, err := c.filterConfig(name, configs[name])
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, f)
		}
	}
	return list, nil
}

func (c *compiler) filterConfig(name string, a *anypb.Any) (f filterConfig, ok bool, err error) {
	f.name = name
	optional := false
	if a.MessageIs((*routepb.FilterConfig)(nil)) {
		var w routepb.FilterConfig
		if err := a.UnmarshalTo(&w); err != nil {
			return f, false, fmt.Errorf("typed_per_filter_config[%s]: %w", name, err)
		}
		switch {
		case w.GetDisabled():
			f.disabled = true
			return f, true, nil
		case w.GetConfig() == nil:
			return f, false, fmt.Errorf("Empty route/virtual host per filter configuration for %s filter", name)
		case w.GetConfig().GetTypeUrl() == "":
			return f, true, nil // enabled, and nothing more
		}
		a, optional = w.GetConfig(), w.GetIsOptional()
	}
	key := name + "\x00" + a.GetTypeUrl() + "\x00" + string(a.GetValue())
	if v, known := c.filterValues[key]; known {
		f.value = v
		return f, true, nil
	}
	if c.o.PerFilter == nil {
		return f, false, fmt.Errorf("Didn't find a registered implementation for '%s' with type URL: '%s'", name, strings.TrimPrefix(a.GetTypeUrl(), "type.googleapis.com/"))
	}
	if f.value, err = c.o.PerFilter(name, a); err != nil {
		if optional && strings.Contains(err.Error(), "Didn't find a registered implementation") {
			return f, true, nil
		}
		return f, false, err
	}
	c.filterValues[key] = f.value
	return f, true, nil
}

func findFilter(list []filterConfig, name string) *filterConfig {
	for i := range list {
		if list[i].name == name {
			return &list[i]
		}
	}
	return nil
}

// levels ranges over the entries for a filter, the most specific first.
func (r *Route) levels(name string) iter.Seq[*filterConfig] {
	return func(yield func(*filterConfig) bool) {
		if r.filters != nil {
			if f := findFilter(r.filters.variant, name); f != nil && !yield(f) {
				return
			}
			if f := findFilter(r.filters.route, name); f != nil && !yield(f) {
				return
			}
		}
		v := r.VirtualHost
		if f := findFilter(v.filters, name); f != nil && !yield(f) {
			return
		}
		if f := findFilter(v.Table.filters, name); f != nil {
			yield(f)
		}
	}
}

// PerFilter returns the most specific configuration for the filter of this name; nil if there is none.
func (r *Route) PerFilter(name string) any {
	if !r.HasPerFilter {
		return nil
	}
	for f := range r.levels(name) {
		if f.value != nil {
			return f.value
		}
	}
	return nil
}

// PerFilterAll appends the configurations of all levels for the filter of this name, the least specific
// first, for filters that merge them.
func (r *Route) PerFilterAll(dst []any, name string) []any {
	if !r.HasPerFilter {
		return dst
	}
	from := len(dst)
	for f := range r.levels(name) {
		if f.value != nil {
			dst = append(dst, f.value)
		}
	}
	slices.Reverse(dst[from:])
	return dst
}

// FilterDisabled tells whether the route says that the filter of this name is disabled, or enabled; ok
// is false where it says nothing.
func (r *Route) FilterDisabled(name string) (disabled, ok bool) {
	if !r.HasPerFilter {
		return false, false
	}
	for f := range r.levels(name) {
		return f.disabled, true
	}
	return false, false
}
