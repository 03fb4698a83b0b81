package stats

import (
	"slices"

	metricspb "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// Buckets is histogram_bucket_settings: which bounds a histogram is shown with, by its full name.
type Buckets struct{ rules []bucketRule }

type bucketRule struct {
	match  *list
	bounds *bounds
}

// bounds are the upper bounds of a histogram's buckets, ascending, and their Prometheus labels.
type bounds struct {
	upper []float64
	le    []string // `le="0.5"} `
}

// defaultBounds are Envoy's, in milliseconds or bytes or whatever the histogram's unit is.
var defaultBounds = newBounds([]float64{
	0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
})

func newBounds(upper []float64) *bounds {
	b := &bounds{upper: slices.Sorted(slices.Values(upper))}
	for _, v := range b.upper {
		b.le = append(b.le, `le="`+string(appendFull(nil, v))+`"} `)
	}
	return b
}

func compileBuckets(settings []*metricspb.HistogramBucketSettings) (*Buckets, error) {
	b := &Buckets{}
	for _, s := range settings {
		// The field bins sizes Envoy's own histograms; ours grow as they need.
		if len(s.GetBuckets()) == 0 {
			continue
		}
		match, err := compileList([]*matcherpb.StringMatcher{s.GetMatch()})
		if err != nil {
			return nil, err
		}
		b.rules = append(b.rules, bucketRule{match, newBounds(s.GetBuckets())})
	}
	return b, nil
}

// of is the bounds of the first rule that matches.
func (b *Buckets) of(name []byte) *bounds {
	if len(b.rules) > 0 {
		name := string(name)
		for i := range b.rules {
			if b.rules[i].match.match(name) {
				return b.rules[i].bounds
			}
		}
	}
	return defaultBounds
}

// below appends for each bound how many values are not above it. A bin that has the bound in it is
// counted as a whole, as in Envoy; so a value that is equal to the bound is counted.
func (b *bounds) below(dst []uint64, bins *Bins) []uint64 {
	at, n := 0, uint64(0)
	for _, upper := range b.upper {
		for ; at < len(bins.bins); at++ {
			bin := bins.At(at)
			if bin.Lower > upper {
				break
			}
			n += bin.Count
		}
		dst = append(dst, n)
	}
	return dst
}

// counts is below, or with BucketsDisjoint how many values are in each bucket alone.
func (b *bounds) counts(bins *Bins, mode BucketMode) []uint64 {
	counts := b.below(nil, bins)
	if mode == BucketsDisjoint {
		for i := len(counts) - 1; i > 0; i-- {
			counts[i] -= counts[i-1]
		}
	}
	return counts
}
