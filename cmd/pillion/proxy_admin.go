package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	maxpb "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"

	"github.com/pillion-proxy/pillion/dataplane/admin"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/xds/bootstrap"
)

// makeAdmin makes the administration interface.
func (s *server) makeAdmin() error {
	p := s.proxy
	o := admin.Options{
		Config: s.bootstrap.Admin, AddressPath: s.flags.AdminAddressPath, Stats: s.store, Runtime: s.runtime, Logs: s.logs, Files: s.files, AccessLog: s.registry.Logs(),
		Version: serverVersion(), CommandLine: s.flags.CommandLine(s.workers), Started: s.started,
		Bootstrap: s.bootstrap.Proto, Snapshot: p.Snapshot, Subscriptions: s.client.Subscriptions,
		Listeners: func() []admin.Listener { return admin.Listeners(p.Listeners, p.Snapshot()) },
		Clusters:  p.Clusters, Contexts: p.Contexts, State: func() adminpb.ServerInfo_State { return adminpb.ServerInfo_State(p.State()) },
		Main: p.Main, SetFailing: p.SetFailing, Drain: s.drain, Quit: s.stop, Reopen: s.reopen, Why: s.why,
		Admit: p.Listeners.Admit, Dismiss: p.Listeners.Dismiss,
	}
	if s.bootstrap.Stats.OnAdmin {
		o.Flush = p.Flush
	}
	a, err := admin.New(o)
	s.admin = a
	return err
}

// drain is /drain_listeners.
func (s *server) drain(d admin.Drain) {
	after := func(t time.Duration, f func()) { time.AfterFunc(t, func() { s.proxy.Main(f) }) }
	s.proxy.Listeners.DrainListeners(d.Graceful, d.InboundOnly, d.SkipExit, after)
}

// stop is /quitquitquit.
func (s *server) stop() {
	select {
	case s.quit <- struct{}{}:
	default:
	}
}

// globalLimit is the resource monitor that overloadLimit takes.
const globalLimit = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"

// overloadLimit is max_active_downstream_connections of the overload manager's one monitor that is done;
// 0: no limit.
func overloadLimit(b *bootstrap.Bootstrap) (int64, error) {
	limit := int64(0)
	for _, m := range b.Overload.GetResourceMonitors() {
		if filter.ConfigType(m.GetTypedConfig()) != globalLimit {
			return 0, fmt.Errorf("Bootstrap.overload_manager.resource_monitors: %q is not supported", m.GetName()) //nolint:staticcheck,revive // names the field
		}
		c := &maxpb.DownstreamConnectionsConfig{}
		if err := filter.UnpackTo(m.GetTypedConfig(), c); err != nil {
			return 0, err
		}
		limit = c.GetMaxActiveDownstreamConnections()
	}
	switch {
	case len(b.Overload.GetActions()) > 0:
		return 0, errors.New("Bootstrap.overload_manager.actions is not supported") //nolint:staticcheck,revive // names the field
	case len(b.Overload.GetLoadshedPoints()) > 0:
		return 0, errors.New("Bootstrap.overload_manager.loadshed_points is not supported") //nolint:staticcheck,revive // names the field
	}
	return limit, nil
}

// knownBootstrapExtension tells whether a bootstrap extension asks for something that is here:
// internal listeners.
func knownBootstrapExtension(e *corepb.TypedExtensionConfig) bool {
	return strings.HasSuffix(typeName(e), "envoy.extensions.bootstrap.internal_listener.v3.InternalListener")
}

func typeName(e *corepb.TypedExtensionConfig) string { return filter.ConfigType(e.GetTypedConfig()) }
