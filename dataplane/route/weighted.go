package route

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// weighted is what a route's request chooses from. Each choice is a Route of its own.
type weighted struct {
	routes  []*Route
	weights []uint32
	total   uint64
	// keys are the runtime keys of the weights; nil: they are fixed.
	keys []string
	// header names the request header that replaces the random number, useHash takes the hash policies'.
	header  string
	useHash bool
}

func (h *hostCompiler) weightedClusters(r *Route, p *routepb.WeightedCluster, own mutationPair) error {
	w := &weighted{}
	switch k := p.GetRandomValueSpecifier().(type) {
	case *routepb.WeightedCluster_HeaderName:
		w.header = lowerString(k.HeaderName)
	case *routepb.WeightedCluster_UseHashPolicy:
		w.useHash = k.UseHashPolicy.GetValue()
	}
	for _, cw := range p.GetClusters() {
		if cw.GetWeight() == nil {
			return fmt.Errorf("Field 'weight' is missing in: name: %q", cw.GetName())
		}
		v, err := h.variant(r, cw, own)
		if err != nil {
			return err
		}
		w.routes = append(w.routes, v)
		w.weights = append(w.weights, cw.GetWeight().GetValue())
		if w.total += uint64(cw.GetWeight().GetValue()); w.total > math.MaxUint32 {
			return fmt.Errorf("The sum of weights of all weighted clusters of route %s exceeds %d", r.Name, uint32(math.MaxUint32))
		}
		if prefix := p.GetRuntimeKeyPrefix(); prefix != "" {
			w.keys = append(w.keys, prefix+"."+cw.GetName())
		}
	}
	if w.total == 0 {
		return errors.New("Sum of weights in the weighted_cluster must be greater than 0.")
	}
	// total_weight is deprecated, and Envoy goes by the sum whatever it says.
	r.weighted = w
	return nil
}

// variant makes the route for one of the weighted clusters.
func (h *hostCompiler) variant(r *Route, p *routepb.WeightedCluster_ClusterWeight, own mutationPair) (*Route, error) {
	switch name, from := p.GetName(), p.GetClusterHeader(); {
	case name == "" && from == "":
		return nil, errors.New("At least one of name or cluster_header need to be specified")
	case name != "" && from != "":
		return nil, errors.New("Only one of name or cluster_header can be specified")
	}
	if err := h.clusterExists("weighted cluster", p.GetName()); err != nil {
		return nil, err
	}
	v := *r
	v.Cluster, v.ClusterHeader = p.GetName(), lowerString(p.GetClusterHeader())
	v.MetadataMatch = compileMetadataMatch(r.MetadataMatch, p.GetMetadataMatch())
	v.Subset = h.o.subset(v.MetadataMatch)
	variant, err := h.ownMutations(p)
	if err != nil {
		return nil, err
	}
	if host := p.GetHostRewriteLiteral(); host != "" {
		with := mutation{}
		if variant[0] != nil {
			with = *variant[0]
		}
		with.host = host
		variant[0] = &with
	}
	own.set(h, &v, variant)
	filters, err := h.perFilter(p.GetTypedPerFilterConfig())
	if err != nil {
		return nil, err
	}
	if len(filters) > 0 {
		levels := filterLevels{variant: filters}
		if r.filters != nil {
			levels.route = r.filters.route
		}
		v.filters, v.HasPerFilter = &levels, true
	}
	return &v, nil
}

// pick chooses by the random number, or what stands in for it.
func (w *weighted) pick(r *Route, h *header.Map, i *streaminfo.Info, random uint64, rt *runtime.Loader) *Route {
	switch {
	case w.header != "":
		// A repeated or malformed value does not count.
		if v, ok := h.Get(w.header); ok && h.Count(w.header) == 1 && isNumber(v) {
			if n, err := strconv.ParseUint(v, 10, 64); err == nil {
				random = n
			}
		}
	case w.useHash:
		if n, ok := r.Hash(h, i, nil); ok {
			random = n
		}
	}
	if w.keys != nil {
		return w.pickRuntime(random, rt)
	}
	n := random % w.total
	for at, weight := range w.weights {
		if n < uint64(weight) {
			return w.routes[at]
		}
		n -= uint64(weight)
	}
	return nil
}

// pickRuntime is pick with the weights of the moment; nil if all of them are 0.
func (w *weighted) pickRuntime(random uint64, rt *runtime.Loader) *Route {
	total := uint64(0)
	for at, key := range w.keys {
		total += rt.Uint(key, uint64(w.weights[at]))
	}
	if total == 0 {
		return nil
	}
	n := random % total
	for at, key := range w.keys {
		weight := rt.Uint(key, uint64(w.weights[at]))
		if n < weight {
			return w.routes[at]
		}
		n -= min(weight, n)
	}
	return w.routes[len(w.routes)-1] // the runtime has changed since the sum was taken
}

// isNumber saves making an error of what is plainly none.
func isNumber(s string) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return s != "" && len(s) <= 20
}
