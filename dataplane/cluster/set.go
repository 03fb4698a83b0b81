package cluster

import "sync/atomic"

// Set is the clusters that requests may go to. It is read by one atomic load.
type Set struct {
	clusters atomic.Pointer[map[string]*Cluster]
}

// Get returns a cluster; nil: there is none, or it is not warm.
func (s *Set) Get(name string) *Cluster { return (*s.clusters.Load())[name] }

// All returns the clusters by name. The map is the published one: read only.
func (s *Set) All() map[string]*Cluster { return *s.clusters.Load() }
