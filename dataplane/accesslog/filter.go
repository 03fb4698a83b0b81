package accesslog

import (
	"errors"
	"strings"

	accesslogpb "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// CompileFilter compiles an AccessLogFilter.
func CompileFilter(p *accesslogpb.AccessLogFilter, o Options) (Filter, error) {
	if err := constraint(p.Validate()); err != nil {
		return nil, err
	}
	switch f := p.GetFilterSpecifier().(type) {
	case *accesslogpb.AccessLogFilter_StatusCodeFilter:
		return statusFilter{compileComparison(f.StatusCodeFilter.GetComparison())}, nil
	case *accesslogpb.AccessLogFilter_DurationFilter:
		return durationFilter{compileComparison(f.DurationFilter.GetComparison())}, nil
	case *accesslogpb.AccessLogFilter_NotHealthCheckFilter:
		return notHealthCheckFilter{}, nil
	case *accesslogpb.AccessLogFilter_TraceableFilter:
		return traceableFilter{}, nil
	case *accesslogpb.AccessLogFilter_RuntimeFilter:
		return compileRuntimeFilter(f.RuntimeFilter), nil
	case *accesslogpb.AccessLogFilter_AndFilter:
		fs, err := compileFilters(f.AndFilter.GetFilters(), o)
		return andFilter(fs), err
	case *accesslogpb.AccessLogFilter_OrFilter:
		fs, err := compileFilters(f.OrFilter.GetFilters(), o)
		return orFilter(fs), err
	case *accesslogpb.AccessLogFilter_HeaderFilter:
		m, err := matcher.CompileHeader(f.HeaderFilter.GetHeader(), o.Matcher)
		return &headerFilter{m}, err
	case *accesslogpb.AccessLogFilter_ResponseFlagFilter:
		return compileFlagFilter(f.ResponseFlagFilter), nil
	case *accesslogpb.AccessLogFilter_GrpcStatusFilter:
		return compileGRPCFilter(f.GrpcStatusFilter), nil
	case *accesslogpb.AccessLogFilter_MetadataFilter:
		return compileMetadataFilter(f.MetadataFilter, o.Matcher)
	case *accesslogpb.AccessLogFilter_LogTypeFilter:
		return compileLogTypeFilter(f.LogTypeFilter), nil
	case *accesslogpb.AccessLogFilter_ExtensionFilter:
		return compileExtensionFilter(f.ExtensionFilter, o)
	}
	return nil, errors.New("AccessLogFilter: filter_specifier is required")
}

func compileFilters(ps []*accesslogpb.AccessLogFilter, o Options) ([]Filter, error) {
	out := make([]Filter, len(ps))
	for i, p := range ps {
		var err error
		if out[i], err = CompileFilter(p, o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func compileExtensionFilter(p *accesslogpb.ExtensionFilter, o Options) (Filter, error) {
	config := p.GetTypedConfig()
	if compile, ok := o.Filters[strings.TrimPrefix(config.GetTypeUrl(), typePrefix)]; ok {
		return compile(config)
	}
	return nil, matcher.Unregistered(p)
}

type andFilter []Filter

func (fs andFilter) Match(e *Entry, r *runtime.Loader) bool {
	for _, f := range fs {
		if !f.Match(e, r) {
			return false
		}
	}
	return true
}

type orFilter []Filter

func (fs orFilter) Match(e *Entry, r *runtime.Loader) bool {
	for _, f := range fs {
		if f.Match(e, r) {
			return true
		}
	}
	return false
}

type headerFilter struct{ m matcher.Header }

// noHeaders stands for the headers of a request that could not be read. Nothing writes to it.
var noHeaders header.Map

func (f *headerFilter) Match(e *Entry, _ *runtime.Loader) bool {
	if e.Request == nil {
		return f.m.Match(&noHeaders)
	}
	return f.m.Match(e.Request)
}

type notHealthCheckFilter struct{}

func (notHealthCheckFilter) Match(e *Entry, _ *runtime.Loader) bool { return !e.Info.HealthCheck }

type traceableFilter struct{}

func (traceableFilter) Match(e *Entry, _ *runtime.Loader) bool {
	return e.Info.Sampled && !e.Info.HealthCheck
}

// flagFilter matches entries with one of the flags; with any flag at all if none is named.
type flagFilter streaminfo.Flag

func compileFlagFilter(p *accesslogpb.ResponseFlagFilter) Filter {
	var f streaminfo.Flag
	for _, name := range p.GetFlags() {
		f |= streaminfo.FlagOf(name)
	}
	if f == 0 {
		f = ^f
	}
	return flagFilter(f)
}

func (f flagFilter) Match(e *Entry, _ *runtime.Loader) bool { return e.Info.Has(streaminfo.Flag(f)) }
