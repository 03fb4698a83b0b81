// Package filters is the one list of extensions: one line a filter.
package filters

import (
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/filters/http/router"
	httpinspector "github.com/pillion-proxy/pillion/filters/listener/http_inspector"
	originaldst "github.com/pillion-proxy/pillion/filters/listener/original_dst"
	tlsinspector "github.com/pillion-proxy/pillion/filters/listener/tls_inspector"
	hcm "github.com/pillion-proxy/pillion/filters/network/http_connection_manager"
	tcpproxy "github.com/pillion-proxy/pillion/filters/network/tcp_proxy"
)

// Registry is what this build can do.
func Registry() *filter.Registry {
	return filter.NewRegistry(
		originaldst.Extension,
		tlsinspector.Extension,
		httpinspector.Extension,

		hcm.Extension,
		tcpproxy.Extension,

		router.Extension,
	)
}
