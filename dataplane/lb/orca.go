package lb

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"

	orcapb "github.com/cncf/xds/go/xds/data/orca/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// The headers that hosts report their load in, and the prefixes that tell the first one's formats apart
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/upstream/load_balancing/load_balancers).
const (
	loadHeader    = "endpoint-load-metrics"
	loadHeaderBin = "endpoint-load-metrics-bin"
)

// Reports is the configuration that hosts' load reports are for; nil: nobody reads them.
func (c *Config) Reports() *ClientConfig {
	for ; c != nil; c = c.Child {
		if c.Client != nil {
			return c.Client
		}
	}
	return nil
}

// LoadReport reads a load report from a response's headers or trailers; nil if there is none.
func LoadReport(h *header.Map) (*orcapb.OrcaLoadReport, error) {
	if v, ok := h.Get(loadHeaderBin); ok {
		return binaryReport(v)
	}
	v, ok := h.Get(loadHeader)
	if !ok {
		return nil, nil
	}
	format, rest, _ := strings.Cut(v, " ")
	switch format {
	case "BIN":
		return binaryReport(rest)
	case "JSON":
		r := &orcapb.OrcaLoadReport{}
		return r, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal([]byte(rest), r)
	case "TEXT":
		return textReport(rest)
	}
	return nil, fmt.Errorf("load report in an unknown format: %.20q", v)
}

func binaryReport(text string) (*orcapb.OrcaLoadReport, error) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, fmt.Errorf("load report: %w", err)
	}
	r := &orcapb.OrcaLoadReport{}
	return r, proto.Unmarshal(raw, r)
}

// textReport reads "cpu_utilization=0.3,named_metrics.x=1".
func textReport(text string) (*orcapb.OrcaLoadReport, error) {
	r := &orcapb.OrcaLoadReport{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("load report: bad value of %q", name)
		}
		switch name {
		case "cpu_utilization":
			r.CpuUtilization = v
		case "mem_utilization":
			r.MemUtilization = v
		case "application_utilization":
			r.ApplicationUtilization = v
		case "rps_fractional":
			r.RpsFractional = v
		case "eps":
			r.Eps = v
		default:
			putMetric(r, name, v)
		}
	}
	return r, nil
}

func putMetric(r *orcapb.OrcaLoadReport, name string, v float64) {
	kind, key, _ := strings.Cut(name, ".")
	var m *map[string]float64
	switch kind {
	case "named_metrics":
		m = &r.NamedMetrics
	case "utilization":
		m = &r.Utilization
	case "request_cost":
		m = &r.RequestCost
	default:
		return
	}
	if *m == nil {
		*m = map[string]float64{}
	}
	(*m)[key] = v
}

// Weight is the weight that a report gives its host; ok is false where it gives none.
func (c *ClientConfig) Weight(r *orcapb.OrcaLoadReport) (w float64, ok bool) {
	qps := r.GetRpsFractional()
	if qps <= 0 {
		return 0, false
	}
	used := 0.0
	for _, name := range c.Metrics {
		used = max(used, metric(r, name))
	}
	if used <= 0 {
		used = r.GetApplicationUtilization()
	}
	if used <= 0 {
		used = r.GetCpuUtilization()
	}
	used += r.GetEps() / qps * c.ErrorPenalty
	if used <= 0 {
		return 0, false
	}
	return qps / used, true
}

func metric(r *orcapb.OrcaLoadReport, name string) float64 {
	switch kind, key, _ := strings.Cut(name, "."); kind {
	case "named_metrics":
		return r.GetNamedMetrics()[key]
	case "utilization":
		return r.GetUtilization()[key]
	case "request_cost":
		return r.GetRequestCost()[key]
	case "cpu_utilization":
		return r.GetCpuUtilization()
	case "mem_utilization":
		return r.GetMemUtilization()
	case "application_utilization":
		return r.GetApplicationUtilization()
	}
	return 0
}
