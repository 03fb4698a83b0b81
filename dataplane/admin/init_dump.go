package admin

import (
	"strconv"

	"github.com/cespare/xxhash/v2"
	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"

	"github.com/pillion-proxy/pillion/xds"
)

// serveInitDump is /init_dump: the listeners that wait, and what for. Like Envoy's it knows nothing but
// listeners, so that any other mask finds nothing.
func (a *Admin) serveInitDump(q *request, r *reply) {
	out := &adminpb.UnreadyTargetsDumps{}
	if mask := q.value("mask"); mask == "" || mask == "listener" {
		rows, ok := a.listeners(r)
		if !ok {
			return
		}
		s := a.snapshot()
		state := a.state()
		starting := state == adminpb.ServerInfo_PRE_INITIALIZING || state == adminpb.ServerInfo_INITIALIZING
		for i := range rows {
			waits := rows[i].Warming
			if waits == nil && starting {
				waits = rows[i].Active // until the workers start no listener is ready
			}
			if waits == nil {
				continue
			}
			hash := xxhash.Sum64(waits.Any.GetValue())
			d := &adminpb.UnreadyTargetsDumps_UnreadyTargetsDump{Name: "init manager Listener-local-init-manager " + rows[i].Name + " " + strconv.FormatUint(hash, 10)}
			d.TargetNames = missing(s, waits, nil)
			out.UnreadyTargetsDumps = append(out.UnreadyTargetsDumps, d)
		}
	}
	r.json(out, false)
}

func (a *Admin) snapshot() *xds.Snapshot {
	if a.o.Snapshot != nil {
		if s := a.o.Snapshot(); s != nil {
			return s
		}
	}
	return &xds.Snapshot{}
}

// missing lists what a resource waits for, and what that waits for, in Envoy's words.
func missing(s *xds.Snapshot, r *xds.Resource, out []string) []string {
	for _, ref := range r.Refs {
		if s.Waited(ref) {
			continue
		}
		if to := s.Resource(ref.TypeURL, ref.Name); to != nil {
			out = missing(s, to, out)
			continue
		}
		switch ref.TypeURL {
		case xds.RouteURL:
			out = append(out, "shared target RdsRouteConfigSubscription RDS init "+ref.Name)
		case xds.SecretURL:
			out = append(out, "shared target SdsApi "+ref.Name)
		case xds.ExtensionURL:
			out = append(out, "shared target FilterConfigSubscription init "+ref.Name)
		default:
			out = append(out, "target "+ref.TypeURL+" "+ref.Name)
		}
	}
	return out
}
