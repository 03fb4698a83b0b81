package stats

import (
	"io"
	"strconv"
	"unicode/utf8"
)

// WriteJSON writes /stats?format=json, in the order of the text.
func (s *Store) WriteJSON(to io.Writer, p *Params) error {
	j := &jsonWriter{writer: newWriter(to), mode: p.Buckets, buckets: s.buckets.Load()}
	j.b = append(j.b, `{"stats":[`...)
	s.each(p, textReadout, func(st *Stat) bool {
		j.name(st.Name())
		j.b = append(j.b, `,"value":`...)
		j.b = appendJSONString(j.b, st.Text())
		j.b = append(j.b, '}')
		return j.full()
	})
	s.each(p, counters|gauges, func(st *Stat) bool {
		j.name(st.Name())
		j.b = append(j.b, `,"value":`...)
		j.b = strconv.AppendUint(j.b, st.Value(), 10)
		j.b = append(j.b, '}')
		return j.full()
	})
	s.each(p, histograms, func(st *Stat) bool {
		st.Histogram(func(interval, cumulative *Bins) { j.histogram(st.Name(), interval, cumulative) })
		return j.full()
	})
	j.closeHistograms()
	j.b = append(j.b, "]}"...)
	return j.flush()
}

type jsonWriter struct {
	*writer
	mode    BucketMode
	buckets *Buckets
	more    bool // something has been written into stats
	opened  bool // the histograms have been
}

func (j *jsonWriter) comma() {
	if j.more {
		j.b = append(j.b, ',')
	}
	j.more = true
}

// name opens an object with a name.
func (j *jsonWriter) name(name []byte) {
	j.comma()
	j.b = append(j.b, `{"name":`...)
	j.b = appendJSONString(j.b, name)
}

// histogram writes one; all of them share one entry of stats.
func (j *jsonWriter) histogram(name []byte, interval, cumulative *Bins) {
	if !j.opened {
		j.comma()
		j.opened, j.more = true, false
		switch j.mode {
		case BucketsCumulative, BucketsDisjoint:
			j.b = append(j.b, `{"histograms":[`...)
		case BucketsDetailed:
			j.b = append(j.b, `{"histograms":{"supported_percentiles":[`+percentages+`],"details":[`...)
		default:
			j.b = append(j.b, `{"histograms":{"supported_quantiles":[`+percentages+`],"computed_quantiles":[`...)
		}
	}
	j.name(name)
	switch j.mode {
	case BucketsCumulative, BucketsDisjoint:
		j.b = append(j.b, `,"buckets":[`...)
		at := j.buckets.of(name)
		in, all := at.counts(interval, j.mode), at.counts(cumulative, j.mode)
		for n := range all {
			if n > 0 {
				j.b = append(j.b, ',')
			}
			j.b = append(j.b, `{"upper_bound":`...)
			j.b = appendShortest(j.b, at.upper[n])
			j.b = append(j.b, `,"interval":`...)
			j.b = strconv.AppendUint(j.b, in[n], 10)
			j.b = append(j.b, `,"cumulative":`...)
			j.b = strconv.AppendUint(j.b, all[n], 10)
			j.b = append(j.b, '}')
		}
	case BucketsDetailed:
		j.b = append(j.b, `,"totals":[`...)
		j.bins(cumulative)
		j.b = append(j.b, `],"intervals":[`...)
		j.bins(interval)
		j.b = append(j.b, `],"percentiles":[`...)
		j.quantiles(interval, cumulative)
	default:
		j.b = append(j.b, `,"values":[`...)
		j.quantiles(interval, cumulative)
	}
	j.b = append(j.b, "]}"...)
}

func (j *jsonWriter) closeHistograms() {
	switch {
	case !j.opened:
	case j.mode == BucketsCumulative, j.mode == BucketsDisjoint:
		j.b = append(j.b, "]}"...)
	default:
		j.b = append(j.b, "]}}"...)
	}
}

const percentages = "0,25,50,75,90,95,99,99.5,99.9,100"

func (j *jsonWriter) quantiles(interval, cumulative *Bins) {
	i, c := interval.Quantiles(), cumulative.Quantiles()
	for at := range quantiles {
		if at > 0 {
			j.b = append(j.b, ',')
		}
		j.b = append(j.b, `{"cumulative":`...)
		j.b = appendShortest(j.b, c[at])
		j.b = append(j.b, `,"interval":`...)
		j.b = appendShortest(j.b, i[at])
		j.b = append(j.b, '}')
	}
}

func (j *jsonWriter) bins(b *Bins) {
	for i := range b.bins {
		if i > 0 {
			j.b = append(j.b, ',')
		}
		bin := b.At(i)
		j.b = append(j.b, `{"lower_bound":`...)
		j.b = appendShortest(j.b, bin.Lower)
		j.b = append(j.b, `,"width":`...)
		j.b = appendShortest(j.b, bin.Width)
		j.b = append(j.b, `,"count":`...)
		j.b = strconv.AppendUint(j.b, bin.Count, 10)
		j.b = append(j.b, '}')
	}
}

// appendJSONString quotes a string; only what JSON cannot hold is escaped.
func appendJSONString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0 // what is before was written
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plainJSON[c] {
			continue
		}
		dst = append(dst, s[from:i]...)
		if c < utf8.RuneSelf {
			dst = appendJSONEscape(dst, c)
			from = i + 1
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, `\ufffd`...)
		} else {
			dst = append(dst, s[i:i+size]...)
		}
		i += size - 1
		from = i + 1
	}
	return append(append(dst, s[from:]...), '"')
}

// plainJSON is the ASCII that JSON strings hold as it is.
var plainJSON = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

func appendJSONEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
