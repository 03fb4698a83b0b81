package listener

import "github.com/pillion-proxy/pillion/xds"

// Active is the resource that a live listener was made of, for /config_dump; nil: there is no such
// listener. It is for the main goroutine.
func (m *Manager) Active(name string) *xds.Resource {
	if m.listeners[name] == nil {
		return nil
	}
	return m.applied[name]
}
