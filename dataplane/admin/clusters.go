package admin

import (
	"net/http"
	"regexp"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"

	"github.com/pillion-proxy/pillion/dataplane/cluster"
)

// serveClusters is /clusters.
func (a *Admin) serveClusters(q *request, r *reply) {
	var filter *regexp.Regexp
	if expr := q.value("filter"); expr != "" {
		var err error
		if filter, err = regexp.Compile(expr); err != nil {
			r.fail(http.StatusBadRequest, "Invalid re2 regex")
			return
		}
	}
	var all []cluster.Status
	if a.o.Clusters != nil && !a.main(r, func() { all = a.o.Clusters.Statuses() }) {
		return
	}
	if q.value("format") == "json" {
		out := &adminpb.Clusters{}
		for i := range all {
			if filter == nil || filter.MatchString(all[i].Name) {
				out.ClusterStatuses = append(out.ClusterStatuses, all[i].Proto())
			}
		}
		r.json(out, false)
		return
	}
	var b []byte
	for i := range all {
		if filter == nil || filter.MatchString(all[i].Name) {
			b = all[i].AppendText(b[:0])
			_, _ = r.Write(b)
		}
	}
}
