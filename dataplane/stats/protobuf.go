package stats

import (
	"io"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
)

// WriteProtobuf writes the Prometheus protobuf exposition format: delimited MetricFamily messages.
func (s *Store) WriteProtobuf(to io.Writer, p *Params) error {
	w := &protoWriter{p: p, buckets: s.buckets.Load(), labels: map[string][]*dto.LabelPair{}}
	var scratch []Stat
	var stat Stat
	for f := range s.shown(p) {
		var metrics []*dto.Metric
		for st := range f.each(&scratch, &stat) {
			if (!p.UsedOnly || st.Used()) && (p.Filter == nil || p.shows(st.Name())) {
				metrics = append(metrics, w.metric(st))
			}
		}
		if metrics == nil {
			continue
		}
		family := &dto.MetricFamily{Name: &f.prom, Type: protoType(f.kind, p.Buckets).Enum(), Metric: metrics}
		if _, err := protodelim.MarshalTo(to, family); err != nil {
			return err
		}
	}
	return nil
}

type protoWriter struct {
	p       *Params
	buckets *Buckets
	labels  map[string][]*dto.LabelPair // by their text: a cluster's are those of its hundred stats
}

func protoType(k Kind, mode BucketMode) dto.MetricType {
	switch {
	case k == KindCounter:
		return dto.MetricType_COUNTER
	case k != KindHistogram:
		return dto.MetricType_GAUGE
	case mode == BucketsSummary:
		return dto.MetricType_SUMMARY
	}
	return dto.MetricType_HISTOGRAM
}

func (w *protoWriter) metric(st *Stat) *dto.Metric {
	m := &dto.Metric{Label: w.labelsOf(st)}
	switch st.Kind() {
	case KindCounter:
		m.Counter = &dto.Counter{Value: ptr(float64(st.Value()))}
	case KindGauge:
		m.Gauge = &dto.Gauge{Value: ptr(float64(st.Value()))}
	case KindTextReadout:
		m.Label = append(slices.Clip(m.Label), &dto.LabelPair{Name: ptr("text_value"), Value: ptr(st.Text())})
		m.Gauge = &dto.Gauge{Value: ptr(0.0)}
	case KindHistogram:
		st.Histogram(func(interval, cumulative *Bins) {
			switch w.p.Buckets {
			case BucketsSummary:
				m.Summary = protoSummary(interval)
			case BucketsNative:
				m.Histogram = protoNative(cumulative, w.p.NativeBuckets)
			default:
				m.Histogram = protoHistogram(cumulative, w.buckets.of(st.Name()))
			}
		})
	}
	return m
}

// labelsOf makes the labels. Envoy writes their values here as it does in text, with backslashes that
// then are part of them. We write them as they are, so that both formats have the same series.
func (w *protoWriter) labelsOf(st *Stat) []*dto.LabelPair {
	if st.labels == nil && st.g.tagged() != nil {
		return labelPairs(st.g.explicitTags())
	}
	text := st.labels
	if text == nil {
		text = &st.g.identity.Load().labels
	}
	pairs, ok := w.labels[*text]
	if !ok {
		_, tags := st.Tagged()
		pairs = labelPairs(tags)
		w.labels[*text] = pairs
	}
	return pairs
}

func labelPairs(tags []Tag) []*dto.LabelPair {
	pairs := make([]*dto.LabelPair, 0, len(tags))
	for _, t := range tags {
		pairs = append(pairs, &dto.LabelPair{Name: ptr(string(appendSanitized(nil, t.Name))), Value: &t.Value})
	}
	return pairs
}

func ptr[T any](v T) *T { return &v }

func protoHistogram(b *Bins, at *bounds) *dto.Histogram {
	h := &dto.Histogram{SampleCount: ptr(b.count), SampleSum: ptr(b.Sum())}
	for i, n := range at.below(nil, b) {
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: &at.upper[i], CumulativeCount: ptr(n)})
	}
	return h
}

func protoSummary(b *Bins) *dto.Summary {
	s := &dto.Summary{SampleCount: ptr(b.count), SampleSum: ptr(b.Sum())}
	for i, q := range b.Quantiles() {
		s.Quantile = append(s.Quantile, &dto.Quantile{Quantile: ptr(quantiles[i]), Value: ptr(q)})
	}
	return s
}
