package filter

import "sync"

// singletons is what filters have in common across the proxy, as Envoy's singleton manager keeps it.
type singletons struct {
	mu sync.Mutex
	m  map[string]any // guarded by mu
}

// Singleton returns the one value of this name that the proxy has, made by the first who asks. It lives as
// long as the proxy: for what must outlive filter chains, such as stats that their updates shall not reset.
func Singleton[T any](s *Server, name string, make func() T) T {
	s.singletons.mu.Lock()
	defer s.singletons.mu.Unlock()
	if v, ok := s.singletons.m[name]; ok {
		return v.(T)
	}
	v := make()
	if s.singletons.m == nil {
		s.singletons.m = map[string]any{}
	}
	s.singletons.m[name] = v
	return v
}
