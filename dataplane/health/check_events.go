package health

import (
	"io"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datapb "github.com/envoyproxy/go-control-plane/envoy/data/core/v3"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/stats"
)

// CheckStats are the stats below "cluster.NAME.health_check.".
type CheckStats struct {
	Attempt        stats.Counter `stat:"attempt"`
	Degraded       stats.Gauge   `stat:"degraded"`
	Failure        stats.Counter `stat:"failure"`
	Healthy        stats.Gauge   `stat:"healthy"`
	NetworkFailure stats.Counter `stat:"network_failure"`
	PassiveFailure stats.Counter `stat:"passive_failure"`
	Success        stats.Counter `stat:"success"`
	VerifyCluster  stats.Counter `stat:"verify_cluster"`
}

// failure is why a check failed.
type failure = datapb.HealthCheckFailureType

const (
	active         = datapb.HealthCheckFailureType_ACTIVE
	passive        = datapb.HealthCheckFailureType_PASSIVE
	network        = datapb.HealthCheckFailureType_NETWORK
	networkTimeout = datapb.HealthCheckFailureType_NETWORK_TIMEOUT
)

// events writes a checker's events.
type events struct {
	cluster string
	kind    datapb.HealthCheckerType
	to      []io.Writer
}

func newEvents(cluster string, c *Check, to []io.Writer) events {
	e := events{cluster: cluster, to: to}
	switch {
	case c.TCP != nil:
		e.kind = datapb.HealthCheckerType_TCP
	case c.GRPC != nil:
		e.kind = datapb.HealthCheckerType_GRPC
	}
	return e
}

func (e *events) write(h *endpoint.Host, event *datapb.HealthCheckEvent) {
	if len(e.to) == 0 {
		return
	}
	l := h.Endpoint().Locality
	event.HealthCheckerType, event.Host, event.ClusterName = e.kind, h.Address.Proto(), e.cluster
	event.Timestamp = timestamp(time.Now())
	event.Locality = l.Proto()
	if m := h.Endpoint().Metadata; m != nil {
		event.Metadata = &corepb.Metadata{FilterMetadata: m}
	}
	for _, w := range e.to {
		writeEvent(w, event)
	}
}

func (e *events) ejected(h *endpoint.Host, f failure, status int) {
	e.write(h, &datapb.HealthCheckEvent{Event: &datapb.HealthCheckEvent_EjectUnhealthyEvent{
		EjectUnhealthyEvent: &datapb.HealthCheckEjectUnhealthy{FailureType: f, HttpStatusCode: uint32(status)},
	}})
}

func (e *events) failed(h *endpoint.Host, f failure, first bool, status int) {
	e.write(h, &datapb.HealthCheckEvent{Event: &datapb.HealthCheckEvent_HealthCheckFailureEvent{
		HealthCheckFailureEvent: &datapb.HealthCheckFailure{FailureType: f, FirstCheck: first, HttpStatusCode: uint32(status)},
	}})
}

func (e *events) added(h *endpoint.Host, first bool) {
	e.write(h, &datapb.HealthCheckEvent{Event: &datapb.HealthCheckEvent_AddHealthyEvent{
		AddHealthyEvent: &datapb.HealthCheckAddHealthy{FirstCheck: first},
	}})
}

func (e *events) passed(h *endpoint.Host) {
	e.write(h, &datapb.HealthCheckEvent{Event: &datapb.HealthCheckEvent_SuccessfulHealthCheckEvent{
		SuccessfulHealthCheckEvent: &datapb.HealthCheckSuccessful{},
	}})
}

func (e *events) degraded(h *endpoint.Host, degraded bool) {
	if degraded {
		e.write(h, &datapb.HealthCheckEvent{Event: &datapb.HealthCheckEvent_DegradedHealthyHost{DegradedHealthyHost: &datapb.DegradedHealthyHost{}}})
		return
	}
	e.write(h, &datapb.HealthCheckEvent{Event: &datapb.HealthCheckEvent_NoLongerDegradedHost{NoLongerDegradedHost: &datapb.NoLongerDegradedHost{}}})
}
