package accesslog

import (
	accesslogpb "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// grpcFilter matches gRPC statuses, of every request: an HTTP status that stands for one counts too.
type grpcFilter struct {
	statuses uint32 // bit n: status n
	exclude  bool
}

const grpcUnknown = 2

func compileGRPCFilter(p *accesslogpb.GrpcStatusFilter) Filter {
	f := grpcFilter{exclude: p.GetExclude()}
	for _, s := range p.GetStatuses() {
		f.statuses |= 1 << uint(s)
	}
	return f
}

func (f grpcFilter) Match(e *Entry, _ *runtime.Loader) bool {
	n, ok := e.GRPCStatus()
	if !ok {
		n = grpcUnknown
	}
	found := n >= 0 && n < 32 && f.statuses&(1<<uint(n)) != 0
	return found != f.exclude
}

// metadataFilter matches dynamic metadata.
type metadataFilter struct {
	matcher *matcher.Metadata // nil: none
	filter  string
	path    []string
	missing bool // the answer where there is no such key
}

func compileMetadataFilter(p *accesslogpb.MetadataFilter, o matcher.Options) (Filter, error) {
	f := &metadataFilter{missing: true}
	if v := p.GetMatchIfKeyNotFound(); v != nil {
		f.missing = v.GetValue()
	}
	m := p.GetMatcher()
	if m == nil {
		return f, nil
	}
	compiled, err := matcher.CompileMetadata(m, o)
	if err != nil {
		return nil, err
	}
	f.matcher, f.filter = &compiled, m.GetFilter()
	for _, s := range m.GetPath() {
		f.path = append(f.path, s.GetKey())
	}
	return f, nil
}

func (f *metadataFilter) Match(e *Entry, _ *runtime.Loader) bool {
	if f.matcher == nil || matcher.MetadataValue(e.Info.Metadata, f.filter, f.path) == nil {
		return f.missing
	}
	return f.matcher.Match(e.Info.Metadata)
}

// logTypeFilter matches the types of entries.
type logTypeFilter struct {
	types   uint32 // bit n: LogType n
	exclude bool
}

func compileLogTypeFilter(p *accesslogpb.LogTypeFilter) Filter {
	f := logTypeFilter{exclude: p.GetExclude()}
	for _, t := range p.GetTypes() {
		f.types |= 1 << uint(t)
	}
	return f
}

func (f logTypeFilter) Match(e *Entry, _ *runtime.Loader) bool {
	return (f.types&(1<<uint(min(e.LogType, formatter.LogType(31)))) != 0) != f.exclude
}
