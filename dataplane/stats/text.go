package stats

import (
	"io"
	"strconv"
)

// WriteText writes /stats: text readouts, then counters and gauges, then histograms, each by name.
func (s *Store) WriteText(to io.Writer, p *Params) error {
	w := newWriter(to)
	s.each(p, textReadout, func(st *Stat) bool {
		w.b = append(w.b, st.Name()...)
		w.b = append(w.b, `: "`...)
		w.b = append(w.b, st.Text()...)
		w.b = append(w.b, "\"\n"...)
		return w.full()
	})
	s.each(p, counters|gauges, func(st *Stat) bool {
		w.b = append(w.b, st.Name()...)
		w.b = append(w.b, ": "...)
		w.b = strconv.AppendUint(w.b, st.Value(), 10)
		w.b = append(w.b, '\n')
		return w.full()
	})
	buckets := s.buckets.Load()
	s.each(p, histograms, func(st *Stat) bool {
		st.Histogram(func(interval, cumulative *Bins) {
			w.b = append(w.b, st.Name()...)
			w.b = appendTextHistogram(w.b, interval, cumulative, p.Buckets, buckets.of(st.Name()))
			w.b = append(w.b, '\n')
		})
		return w.full()
	})
	return w.flush()
}

// each enumerates what is asked for among some kinds.
func (s *Store) each(p *Params, kinds kindMask, yield func(*Stat) bool) {
	if p.kinds != 0 {
		kinds &= p.kinds
	}
	if kinds == 0 || p.OnlyHidden {
		return
	}
	s.walk(kinds, func(st *Stat) bool {
		if p.UsedOnly && !st.Used() || !p.shows(st.Name()) {
			return true
		}
		return yield(st)
	})
}

// quantileNames are the quantiles as percentages.
var quantileNames = [len(quantiles)]string{"0", "25", "50", "75", "90", "95", "99", "99.5", "99.9", "100"}

func appendTextHistogram(dst []byte, interval, cumulative *Bins, mode BucketMode, at *bounds) []byte {
	switch {
	case cumulative.count == 0:
		return append(dst, ": No recorded values"...)
	case mode == BucketsCumulative, mode == BucketsDisjoint:
		return appendTextBuckets(append(dst, ": "...), interval, cumulative, mode, at)
	case mode == BucketsDetailed:
		dst = append(dst, ":\n  totals="...)
		dst = appendTextBins(dst, cumulative)
		dst = append(dst, "\n  intervals="...)
		dst = appendTextBins(dst, interval)
		return appendTextQuantiles(append(dst, "\n  summary="...), interval, cumulative)
	default:
		return appendTextQuantiles(append(dst, ": "...), interval, cumulative)
	}
}

func appendTextQuantiles(dst []byte, interval, cumulative *Bins) []byte {
	i, c := interval.Quantiles(), cumulative.Quantiles()
	for at, name := range quantileNames {
		if at > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, 'P')
		dst = append(dst, name...)
		dst = append(dst, '(')
		dst = appendShort(dst, i[at])
		dst = append(dst, ',')
		dst = appendShort(dst, c[at])
		dst = append(dst, ')')
	}
	return dst
}

func appendTextBuckets(dst []byte, interval, cumulative *Bins, mode BucketMode, at *bounds) []byte {
	in, all := at.counts(interval, mode), at.counts(cumulative, mode)
	for n := range all {
		if n > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, 'B')
		dst = appendSix(dst, at.upper[n])
		dst = append(dst, '(')
		dst = strconv.AppendUint(dst, in[n], 10)
		dst = append(dst, ',')
		dst = strconv.AppendUint(dst, all[n], 10)
		dst = append(dst, ')')
	}
	return dst
}

func appendTextBins(dst []byte, b *Bins) []byte {
	for i := range b.bins {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		bin := b.At(i)
		dst = appendBound(dst, bin.Lower)
		dst = append(dst, ',')
		dst = appendBound(dst, bin.Width)
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, bin.Count, 10)
	}
	return dst
}
