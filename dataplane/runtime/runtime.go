// Package runtime is Envoy's layered runtime: named values that operators change while the proxy runs,
// and the feature fractions that read them.
package runtime

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Loader holds the layers and publishes the merged values. Reads take no lock.
type Loader struct {
	values atomic.Pointer[map[string]Value]

	mu     sync.Mutex
	layers []Layer // guarded by mu
	admin  int     // index of the admin layer; -1: none
}

// Layer is one layer: later ones win.
type Layer struct {
	Name   string
	Values map[string]string
	// Admin layers take /runtime_modify.
	Admin bool
}

// Value is one key's state: its text in each layer ("" is absent) and the one in force.
type Value struct {
	Layers []string
	Final  string

	number  uint64
	numeric bool
	boolean int8 // 1 true, 0 false, -1 neither
}

// New makes a loader; without layers there is an empty one for /runtime_modify, as in Envoy.
func New(layers ...Layer) *Loader {
	l := &Loader{}
	l.Replace(layers)
	return l
}

// Replace puts other layers in the place of all.
func (l *Loader) Replace(layers []Layer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.layers, l.admin = slices.Clone(layers), -1
	for i := range l.layers {
		if l.layers[i].Admin {
			l.admin = i
		}
	}
	l.publish()
}

// SetLayer replaces the values of the layer called name.
func (l *Loader) SetLayer(name string, values map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.layers {
		if l.layers[i].Name == name {
			l.layers[i].Values = values
		}
	}
	l.publish()
}

// Modify sets keys in the admin layer; an empty value removes the key there. It reports false if there
// is no admin layer.
func (l *Loader) Modify(set map[string]string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.admin < 0 {
		return false
	}
	values := map[string]string{}
	for k, v := range l.layers[l.admin].Values {
		values[k] = v
	}
	for k, v := range set {
		if v == "" {
			delete(values, k)
		} else {
			values[k] = v
		}
	}
	l.layers[l.admin].Values = values
	l.publish()
	return true
}

// LayerNames lists the layers, the first being the weakest.
func (l *Loader) LayerNames() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make([]string, len(l.layers))
	for i := range l.layers {
		names[i] = l.layers[i].Name
	}
	return names
}

// All returns every key's value. The map is the published one: read only.
func (l *Loader) All() map[string]Value { return *l.values.Load() }

func (l *Loader) publish() {
	out := map[string]Value{}
	for i, layer := range l.layers {
		for k, v := range layer.Values {
			e, ok := out[k]
			if !ok {
				e.Layers = make([]string, len(l.layers))
			}
			e.Layers[i] = v
			if v != "" {
				e.Final = v
			}
			out[k] = e
		}
	}
	for k, e := range out {
		out[k] = e.parse()
	}
	l.values.Store(&out)
}

func (v Value) parse() Value {
	v.boolean = -1
	switch strings.ToLower(v.Final) {
	case "true":
		v.boolean = 1
	case "false":
		v.boolean = 0
	}
	if f, err := strconv.ParseFloat(v.Final, 64); err == nil && f >= 0 {
		v.number, v.numeric = uint64(f), true
		if n, err := strconv.ParseUint(v.Final, 10, 64); err == nil {
			v.number = n
		}
	}
	return v
}

// Get returns the text in force for key.
func (l *Loader) Get(key string) (string, bool) {
	if l == nil {
		return "", false
	}
	v, ok := (*l.values.Load())[key]
	return v.Final, ok
}

// Bool returns key as a truth value, or def where it is absent or is none.
func (l *Loader) Bool(key string, def bool) bool {
	if l == nil || key == "" {
		return def
	}
	if v, ok := (*l.values.Load())[key]; ok && v.boolean >= 0 {
		return v.boolean == 1
	}
	return def
}

// Uint returns key as a whole number, or def where it is absent or is none.
func (l *Loader) Uint(key string, def uint64) uint64 {
	if l == nil || key == "" {
		return def
	}
	if v, ok := (*l.values.Load())[key]; ok && v.numeric {
		return v.number
	}
	return def
}

// Float returns key as a number, or def where it is absent or is none.
func (l *Loader) Float(key string, def float64) float64 {
	if s, ok := l.Get(key); ok {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	}
	return def
}
