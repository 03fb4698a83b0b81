package lb

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strconv"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// ring is a ketama ring: each host has hashes on it by its weight, and serves what lies before them. It
// is immutable.
type ring struct {
	hashes []uint64 // ascending
	hosts  []*endpoint.Host
}

type point struct {
	hash uint64
	host *endpoint.Host
}

// newRing places hosts as Envoy does: the lightest host gets a whole number of hashes, so that the ring
// has at least MinRing, and MaxRing at most; the k-th hash of a host is that of "key_k".
func newRing(c *HashConfig, hosts []weighed) (*ring, tableStats) {
	lightest := 1.0
	for _, w := range hosts {
		lightest = min(lightest, w.weight)
	}
	scale := min(math.Ceil(lightest*float64(c.MinRing))/lightest, float64(c.MaxRing))
	size := uint64(math.Ceil(scale))
	points := make([]point, 0, size)
	st := tableStats{size: size, least: size}
	var have, want float64
	for _, w := range hosts {
		key := append([]byte(hashKey(c, w.host)), '_')
		prefix := len(key)
		want += scale * w.weight
		n := uint64(0)
		for ; have < want; have++ {
			key = strconv.AppendUint(key[:prefix], n, 10)
			h := uint64(0)
			if c.Murmur {
				h = murmur2(key, murmurSeed)
			} else {
				h = xx(key, 0)
			}
			points = append(points, point{h, w.host})
			n++
		}
		st.least, st.most = min(st.least, n), max(st.most, n)
	}
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.hash, b.hash) })
	r := &ring{hashes: make([]uint64, len(points)), hosts: make([]*endpoint.Host, len(points))}
	for i, p := range points {
		r.hashes[i], r.hosts[i] = p.hash, p.host
	}
	return r, st
}

// at finds the first point at or after hash; a retry takes those that follow.
func (r *ring) at(hash uint64, attempt int) *endpoint.Host {
	i := sort.Search(len(r.hashes), func(i int) bool { return r.hashes[i] >= hash })
	return r.hosts[(i%len(r.hosts)+attempt)%len(r.hosts)]
}
