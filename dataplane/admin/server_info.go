package admin

import (
	"net/http"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// hotRestart is what /hot_restart_version and /server_info say: there is no hot restart.
const hotRestart = "disabled"

// serveServerInfo is /server_info. Fields are printed with their defaults.
func (a *Admin) serveServerInfo(_ *request, r *reply) {
	up := durationpb.New(time.Since(a.o.Started).Truncate(time.Second))
	info := &adminpb.ServerInfo{
		Version: a.o.Version, State: a.state(), UptimeCurrentEpoch: up, UptimeAllEpochs: up, HotRestartVersion: hotRestart,
		CommandLineOptions: a.o.CommandLine,
	}
	if a.o.Bootstrap != nil {
		b, err := a.o.Bootstrap()
		if err != nil {
			r.fail(http.StatusInternalServerError, err.Error()+"\n")
			return
		}
		info.Node = b.GetNode()
	}
	r.json(info, true)
}

// serveHotRestartVersion is /hot_restart_version.
func (a *Admin) serveHotRestartVersion(_ *request, r *reply) { r.text(hotRestart) }

// json answers with a message. Its last line has no newline where Envoy's has none.
func (r *reply) json(m proto.Message, defaults bool) {
	r.contentType = jsonType
	p := newPrinter(r)
	p.defaults = defaults
	_ = p.document(m) // an error is the client's leaving, which ends the reply
}
