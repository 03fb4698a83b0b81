package stats

import (
	"math"

	dto "github.com/prometheus/client_model/go"
)

// Native histograms. A schema s has 2^s buckets for each power of two; bucket i holds numbers up to
// 2^(i/2^s). Envoy takes the finest schema from 4 down to -4 whose buckets are not more than asked for.
const (
	finestSchema   = 4
	coarsestSchema = -4
	zeroThreshold  = 0.5

	defaultNativeBuckets = 20
)

// protoNative counts each bin in the bucket of its lower bound.
func protoNative(b *Bins, most int) *dto.Histogram {
	h := &dto.Histogram{SampleCount: ptr(b.count), SampleSum: ptr(b.Sum()), ZeroThreshold: ptr(zeroThreshold), ZeroCount: ptr(uint64(0))}
	schema := nativeSchema(b, most)
	h.Schema = ptr(int32(schema))
	var last int64 // the count of the bucket before
	var next int32 // the bucket after it
	add := func(bucket int32, n int64) {
		if len(h.PositiveSpan) > 0 && bucket == next {
			*h.PositiveSpan[len(h.PositiveSpan)-1].Length++
		} else {
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: ptr(bucket - next), Length: ptr(uint32(1))})
		}
		h.PositiveDelta = append(h.PositiveDelta, n-last)
		last, next = n, bucket+1
	}
	var bucket int32
	var n int64 // what bucket has so far
	for i := range b.bins {
		bin := b.At(i)
		if bin.Lower == 0 {
			*h.ZeroCount = bin.Count
			continue
		}
		at := nativeBucket(bin.Lower, schema)
		if n > 0 && at != bucket {
			add(bucket, n)
			n = 0
		}
		bucket, n = at, n+int64(bin.Count)
	}
	if n > 0 {
		add(bucket, n)
	}
	return h
}

// nativeSchema counts the buckets that the bins touch, as Envoy does: a bin may touch several.
func nativeSchema(b *Bins, most int) int {
	if most == 0 {
		most = defaultNativeBuckets
	}
	for schema := finestSchema; schema > coarsestSchema; schema-- {
		touched, last := 0, int32(math.MinInt32)
		for i := range b.bins {
			bin := b.At(i)
			if bin.Lower == 0 {
				continue
			}
			from, to := nativeBucket(bin.Lower, schema), nativeBucket(bin.Lower+bin.Width, schema)
			if from = max(from, last+1); from <= to {
				touched += int(to-from) + 1
				last = to
			}
		}
		if touched <= most {
			return schema
		}
	}
	return coarsestSchema
}

func nativeBucket(v float64, schema int) int32 {
	return int32(math.Ceil(math.Ldexp(math.Log2(v), schema)))
}
