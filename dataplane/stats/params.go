package stats

import (
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Format is how stats are shown.
type Format uint8

// The values of the query parameter format.
const (
	FormatText Format = iota
	FormatJSON
	FormatPrometheus
	FormatHTML
	FormatActiveHTML
)

// BucketMode is how histograms are shown.
type BucketMode uint8

// The values of the query parameter histogram_buckets; BucketsUnset is none of them: quantiles in
// text and JSON, cumulative buckets in Prometheus.
const (
	BucketsUnset BucketMode = iota
	BucketsCumulative
	BucketsDisjoint
	BucketsDetailed
	BucketsSummary
	BucketsNative
)

// Params is what a request for /stats may ask for; the zero Params asks for all.
type Params struct {
	UsedOnly      bool
	Filter        *regexp.Regexp // nil: all; matches a part of the full name
	InvertFilter  bool
	Format        Format
	Buckets       BucketMode
	NativeBuckets int // native_histogram_max_buckets; 0: Envoy's default
	TextReadouts  bool
	OnlyHidden    bool // hidden=only: nothing, for none of our stats is hidden

	kinds kindMask // 0: all
}

const (
	counters    = kindMask(1 << KindCounter)
	gauges      = kindMask(1 << KindGauge)
	histograms  = kindMask(1 << KindHistogram)
	textReadout = kindMask(1 << KindTextReadout)
)

// BadParam is what is wrong with a query: the body of the answer 400.
type BadParam string

// Error implements error.
func (e BadParam) Error() string { return string(e) }

// ParseParams reads the query of /stats, or of /stats/prometheus if prometheus is set. query tells
// the first value of a parameter and whether it is there; protobuf tells that the answer would be
// protobuf if it is for Prometheus (see AcceptsProtobuf). An error is a BadParam.
func ParseParams(query func(name string) (string, bool), prometheus, protobuf bool) (*Params, error) {
	p := &Params{}
	_, p.UsedOnly = query("usedonly")
	_, p.TextReadouts = query("text_readouts")
	_, p.InvertFilter = query("invert_filter")
	for _, parse := range []func(func(string) (string, bool)) error{
		p.parseFilter, p.parseBuckets, p.parseType, p.parseHidden, p.parseFormat,
	} {
		if err := parse(query); err != nil {
			return nil, err
		}
	}
	if prometheus {
		p.Format = FormatPrometheus
	}
	return p, p.check(protobuf)
}

func (p *Params) check(protobuf bool) error {
	switch {
	case p.Format != FormatPrometheus && p.Buckets == BucketsNative:
		return BadParam("Invalid histogram_buckets type for non prometheus stats type")
	case p.Format != FormatPrometheus:
	case p.Buckets == BucketsDisjoint, p.Buckets == BucketsDetailed:
		return BadParam("unsupported prometheus histogram bucket mode")
	case p.Buckets == BucketsNative && !protobuf:
		return BadParam("unsupported prometheusnative histogram type when not using protobuf exposition format")
	}
	return nil
}

func (p *Params) parseFilter(query func(string) (string, bool)) error {
	expr, _ := query("filter")
	if expr == "" {
		return nil
	}
	var err error
	if p.Filter, err = regexp.Compile(expr); err != nil {
		return BadParam("Invalid re2 regex: " + re2Error(err))
	}
	return nil
}

func (p *Params) parseBuckets(query func(string) (string, bool)) error {
	switch mode, _ := query("histogram_buckets"); mode {
	case "", "none":
	case "cumulative":
		p.Buckets = BucketsCumulative
	case "disjoint":
		p.Buckets = BucketsDisjoint
	case "detailed":
		p.Buckets = BucketsDetailed
	case "summary":
		p.Buckets = BucketsSummary
	case "prometheusnative":
		p.Buckets = BucketsNative
	default:
		return BadParam("usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n")
	}
	if text, _ := query("native_histogram_max_buckets"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == 0 {
			return BadParam("invalid native_histogram_max_buckets value: must be a positive integer")
		}
		p.NativeBuckets = int(n)
	}
	return nil
}

func (p *Params) parseType(query func(string) (string, bool)) error {
	switch kind, _ := query("type"); kind {
	case "", "All":
	case "Counters":
		p.kinds = counters
	case "Gauges":
		p.kinds = gauges
	case "Histograms":
		p.kinds = histograms
	case "TextReadouts":
		p.kinds = textReadout
	default:
		return BadParam("invalid &type= param")
	}
	return nil
}

func (p *Params) parseHidden(query func(string) (string, bool)) error {
	switch hidden, _ := query("hidden"); hidden {
	case "", "include", "exclude":
	case "only":
		p.OnlyHidden = true
	default:
		return BadParam("usage: /stats?hidden=(include|only|exclude)\n\n")
	}
	return nil
}

func (p *Params) parseFormat(query func(string) (string, bool)) error {
	switch format, _ := query("format"); format {
	case "", "text":
	case "json":
		p.Format = FormatJSON
	case "prometheus":
		p.Format = FormatPrometheus
	case "html":
		p.Format = FormatHTML
	case "active-html":
		p.Format = FormatActiveHTML
	default:
		return BadParam("usage: /stats?format=(html|active-html|json|prometheus|text)\n\n")
	}
	return nil
}

// AcceptsProtobuf tells whether an Accept header asks for the protobuf exposition format. Like
// Envoy it takes any mention for a yes.
func AcceptsProtobuf(accept string) bool {
	return strings.Contains(accept, "application/vnd.google.protobuf")
}

// The content types of the formats.
const (
	ContentTypeText     = "text/plain; charset=UTF-8"
	ContentTypeJSON     = "application/json"
	ContentTypeProtobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// shows tells whether a stat is asked for.
func (p *Params) shows(name []byte) bool {
	return !p.OnlyHidden && (p.Filter == nil || p.Filter.Match(name) != p.InvertFilter)
}

// writer gathers what is written until it is worth a call.
type writer struct {
	to  io.Writer
	b   []byte
	err error
}

const writeSize = 32 << 10

func newWriter(to io.Writer) *writer {
	return &writer{to: to, b: make([]byte, 0, writeSize+writeSize/4)}
}

// full sends what was gathered if it is enough; false ends the writing.
func (w *writer) full() bool {
	if len(w.b) >= writeSize {
		w.flush()
	}
	return w.err == nil
}

func (w *writer) flush() error {
	if w.err == nil && len(w.b) > 0 {
		_, w.err = w.to.Write(w.b)
	}
	w.b = w.b[:0]
	return w.err
}
