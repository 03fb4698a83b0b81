package admin

import (
	"net/http"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
)

// serveReady is /ready.
func (a *Admin) serveReady(_ *request, r *reply) {
	state := a.state()
	if state != adminpb.ServerInfo_LIVE {
		r.code = http.StatusServiceUnavailable
	}
	r.text(state.String() + "\n")
}

func (a *Admin) state() adminpb.ServerInfo_State {
	if a.o.State == nil {
		return adminpb.ServerInfo_PRE_INITIALIZING
	}
	return a.o.State()
}
