package stats

import (
	"io"
	"strconv"
)

// WritePrometheus writes the Prometheus text exposition format as Envoy does: a TYPE line but no HELP,
// braces even with nothing in them.
func (s *Store) WritePrometheus(to io.Writer, p *Params) error {
	w := &promWriter{writer: newWriter(to), p: p, buckets: s.buckets.Load()}
	for f := range s.shown(p) {
		w.open = false
		for st := range f.each(&w.scratch, &w.stat) {
			if w.asked(st) {
				w.series(f, st)
			}
			if !w.full() {
				return w.err
			}
		}
	}
	return w.flush()
}

// shown yields the families that Prometheus may see.
func (s *Store) shown(p *Params) func(yield func(*family) bool) {
	return func(yield func(*family) bool) {
		if p.OnlyHidden {
			return
		}
		x := s.families()
		for i := range x.families {
			f := &x.families[i]
			if f.prom == "" || f.kind == KindTextReadout && !p.TextReadouts {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

type promWriter struct {
	*writer
	p       *Params
	buckets *Buckets
	scratch []Stat
	stat    Stat
	labels  []byte // of a series that has none ready
	counts  []uint64
	open    bool // the family's TYPE line is written
}

func (w *promWriter) asked(st *Stat) bool {
	return (!w.p.UsedOnly || st.Used()) && (w.p.Filter == nil || w.p.shows(st.Name()))
}

func (w *promWriter) series(f *family, st *Stat) {
	if !w.open {
		w.open = true
		w.b = append(w.b, "# TYPE "...)
		w.b = append(w.b, f.prom...)
		w.b = append(w.b, promType(f.kind, w.p.Buckets)...)
	}
	switch f.kind {
	case KindCounter, KindGauge:
		w.start(f, "", st, true)
		w.b = append(w.b, "} "...)
		w.b = strconv.AppendUint(w.b, st.Value(), 10)
		w.b = append(w.b, '\n')
	case KindTextReadout:
		w.start(f, "", st, false)
		w.b = append(w.b, `text_value="`...)
		w.b = appendLabelValue(w.b, st.Text())
		w.b = append(w.b, "\"} 0\n"...)
	case KindHistogram:
		st.Histogram(func(interval, cumulative *Bins) {
			if w.p.Buckets == BucketsSummary {
				w.summary(f, st, interval)
			} else {
				w.histogram(f, st, cumulative)
			}
		})
	}
}

func promType(k Kind, mode BucketMode) string {
	switch {
	case k == KindCounter:
		return " counter\n"
	case k != KindHistogram:
		return " gauge\n"
	case mode == BucketsSummary:
		return " summary\n"
	}
	return " histogram\n"
}

// start writes a series up to its labels: all of them, or those that another follows.
func (w *promWriter) start(f *family, suffix string, st *Stat, last bool) {
	w.b = append(w.b, f.prom...)
	w.b = append(w.b, suffix...)
	w.b = append(w.b, '{')
	before := len(w.b)
	switch {
	case st.labels != nil:
		w.b = append(w.b, *st.labels...)
	case st.g.tagged() != nil:
		w.labels = w.labels[:0]
		for i := range len(st.g.tagged()) / 2 {
			w.labels = appendLabel(w.labels, st.g.explicitTag(i))
		}
		w.b = append(w.b, w.labels...)
	default:
		w.b = append(w.b, st.g.identity.Load().labels...)
	}
	if !last && len(w.b) > before {
		w.b = append(w.b, ',')
	}
}

func (w *promWriter) histogram(f *family, st *Stat, b *Bins) {
	at := w.buckets.of(st.Name())
	first := len(w.b)
	w.start(f, "_bucket", st, false)
	head := len(w.b) - first
	w.counts = at.below(w.counts[:0], b)
	for i, below := range w.counts {
		if i > 0 {
			w.b = append(w.b, w.b[first:first+head]...)
		}
		w.b = append(w.b, at.le[i]...)
		w.b = strconv.AppendUint(w.b, below, 10)
		w.b = append(w.b, '\n')
	}
	if len(at.le) > 0 {
		w.b = append(w.b, w.b[first:first+head]...)
	}
	w.b = append(w.b, `le="+Inf"} `...)
	w.b = strconv.AppendUint(w.b, b.count, 10)
	w.b = append(w.b, '\n')
	w.sumAndCount(f, st, b)
}

// promQuantiles are the quantiles' labels.
var promQuantiles = [len(quantiles)]string{"0", "0.25", "0.5", "0.75", "0.9", "0.95", "0.99", "0.995", "0.999", "1"}

// summary writes the last interval.
func (w *promWriter) summary(f *family, st *Stat, b *Bins) {
	for i, q := range b.Quantiles() {
		w.start(f, "", st, false)
		w.b = append(w.b, `quantile="`...)
		w.b = append(w.b, promQuantiles[i]...)
		w.b = append(w.b, `"} `...)
		w.b = appendFull(w.b, q)
		w.b = append(w.b, '\n')
	}
	w.sumAndCount(f, st, b)
}

func (w *promWriter) sumAndCount(f *family, st *Stat, b *Bins) {
	w.start(f, "_sum", st, true)
	w.b = append(w.b, "} "...)
	w.b = appendFull(w.b, b.Sum())
	w.b = append(w.b, '\n')
	w.start(f, "_count", st, true)
	w.b = append(w.b, "} "...)
	w.b = strconv.AppendUint(w.b, b.count, 10)
	w.b = append(w.b, '\n')
}
