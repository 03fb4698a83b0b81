package secret

import (
	"bytes"
	"log/slog"
	"sync"
	"sync/atomic"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/stats"
	"github.com/pillion-proxy/pillion/xds"
)

// Store holds the current value of every secret, by name and source. Apply feeds it on the main
// goroutine; files that secrets name are watched and reloaded on the store's own.
type Store struct {
	log   *slog.Logger
	scope *stats.Store

	mu      sync.Mutex
	entries map[key]*Handle // guarded by mu
	watcher *watcher        // guarded by mu; nil until a secret names a file
	closed  bool            // guarded by mu
}

type key struct{ name, source string }

// NewStore makes an empty store; Close ends it.
func NewStore(s *stats.Store, log *slog.Logger) *Store {
	return &Store{log: log.With("component", "secret"), scope: s, entries: map[key]*Handle{}}
}

// Handle is one secret as its users see it: the current value, and who wants to be told of another.
type Handle struct {
	store *Store
	key   key
	value atomic.Pointer[Secret]

	// Guarded by store.mu.
	resource *xds.Resource
	users    int
	watchers map[*func()]struct{}
	scope    *stats.Scope // sds.NAME., for secrets with files
}

// Handle returns the handle of what ref refers to; Release gives it up.
func (s *Store) Handle(ref xds.Ref) *Handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.entry(key{ref.Name, ref.Source})
	h.users++
	return h
}

// Private returns a handle of a validation context that stands in a configuration but names a file
// that Envoy watches even there (SPIFFE trust bundles); nil if it names none.
func (s *Store) Private(v *Validation) *Handle {
	if v == nil || v.SPIFFE == nil {
		return nil
	}
	from := &tlspb.Secret{Type: &tlspb.Secret_ValidationContext{ValidationContext: v.from}}
	value := &Secret{Validation: v, from: from, watches: validationWatches(v.from)}
	if len(value.watches) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &Handle{store: s, users: 1, key: key{source: "private"}}
	h.value.Store(value)
	s.watch(h, value)
	return h
}

// entry finds or makes a handle; s.mu is held.
func (s *Store) entry(k key) *Handle {
	h := s.entries[k]
	if h == nil {
		h = &Handle{store: s, key: k}
		s.entries[k] = h
	}
	return h
}

// Load is the current value, or nil. It takes no lock.
func (h *Handle) Load() *Secret { return h.value.Load() }

// Subscribe has f called after every change, on the goroutine that made it, until cancel. f may not
// call the store.
func (h *Handle) Subscribe(f func()) (cancel func()) {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	if h.watchers == nil {
		h.watchers = map[*func()]struct{}{}
	}
	h.watchers[&f] = struct{}{}
	return func() {
		h.store.mu.Lock()
		defer h.store.mu.Unlock()
		delete(h.watchers, &f)
	}
}

// Release gives up one use of the handle.
func (h *Handle) Release() {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	h.users--
	h.store.drop(h)
}

// drop forgets a handle that has neither user nor value; mu is held.
func (s *Store) drop(h *Handle) {
	if h.users == 0 && h.resource == nil {
		if s.entries[h.key] == h {
			delete(s.entries, h.key)
		}
		if s.watcher != nil {
			_ = s.watcher.set(h, nil)
		}
		if h.scope != nil {
			h.scope.Close()
		}
	}
}

// Apply makes the snapshot's secrets the current ones and tells who uses those that changed. A secret
// that is gone from the snapshot keeps its last value while it is used: a control plane that falls
// silent about a secret must not break it.
func (s *Store) Apply(snap *xds.Snapshot) {
	var changed []*Handle
	s.mu.Lock()
	seen := make(map[key]struct{}, len(s.entries))
	for name, r := range snap.All(xds.SecretURL) {
		k := key{name, r.Source}
		if r.Static {
			k.source = Static
		}
		seen[k] = struct{}{}
		h := s.entry(k)
		if h.resource == r {
			continue
		}
		h.resource = r
		v, ok := r.Value.(*Secret)
		if !ok {
			continue
		}
		h.value.Store(v)
		s.watch(h, v)
		changed = append(changed, h)
	}
	for k, h := range s.entries {
		if _, ok := seen[k]; !ok && h.resource != nil {
			h.resource = nil
			s.drop(h)
		}
	}
	s.mu.Unlock()
	for _, h := range changed {
		h.notify()
	}
}

func (h *Handle) notify() {
	h.store.mu.Lock()
	fs := make([]*func(), 0, len(h.watchers))
	for f := range h.watchers {
		fs = append(fs, f)
	}
	h.store.mu.Unlock()
	for _, f := range fs {
		(*f)()
	}
}

// Close ends the watching of files. Handles keep their last value.
func (s *Store) Close() {
	s.mu.Lock()
	w := s.watcher
	s.watcher, s.closed = nil, true
	s.mu.Unlock()
	if w != nil {
		w.close()
	}
}

// watch has the files of v watched; s.mu is held. Static secrets are not, as in Envoy.
func (s *Store) watch(h *Handle, v *Secret) {
	if h.key.source == Static || s.closed {
		return
	}
	if s.watcher == nil {
		if len(v.watches) == 0 {
			return
		}
		w, err := newWatcher(s.reload)
		if err != nil {
			s.log.Warn("files of secrets are not watched", "error", err)
			return
		}
		s.watcher = w
	}
	if err := s.watcher.set(h, v.watches); err != nil {
		s.log.Warn("file of secret is not watched", "secret", h.key.name, "error", err)
	}
	if len(v.watches) > 0 && h.scope == nil && h.key.name != "" {
		h.scope = s.scope.Scope("sds." + h.key.name)
		h.scope.Counter("key_rotation_failed")
	}
}

// reload compiles a secret again because something happened in a directory of its files. What does not
// compile, like a key that its certificate has not followed yet, leaves the old value in place.
func (s *Store) reload(h *Handle) {
	old := h.value.Load()
	if old == nil {
		return
	}
	fresh, err := Compile(old.from)
	if err != nil {
		s.log.Warn("failed to reload certificates", "secret", h.key.name, "error", err)
		s.mu.Lock()
		if h.scope != nil {
			h.scope.Counter("key_rotation_failed").Inc(0)
		}
		s.mu.Unlock()
		return
	}
	if same(old, fresh) || !h.value.CompareAndSwap(old, fresh) {
		return
	}
	h.notify()
}

// same tells whether two versions of a secret have the same contents.
func same(a, b *Secret) bool {
	switch {
	case a.Certificate != nil && b.Certificate != nil:
		return a.Certificate.same(b.Certificate)
	case a.Validation != nil && b.Validation != nil:
		return bytes.Equal(a.Validation.Fingerprint(), b.Validation.Fingerprint())
	}
	return false
}
