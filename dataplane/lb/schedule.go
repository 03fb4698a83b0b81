package lb

import (
	"math"
	"slices"
)

// schedule says in which order weighted things are taken: the n-th take is at(n). It is immutable.
//
// Where the weights are whole numbers with a small sum it is the very sequence of an earliest-deadline-
// first queue, which repeats after that sum. Else the n-th take is the n-th point of the golden-ratio
// sequence, of which every stretch is spread as evenly as can be over the weights.
type schedule struct {
	sequence []uint16
	bounds   []uint64 // upper ends of the shares of [0, 2^64)
}

// maxPeriod bounds the length of an exact sequence.
const maxPeriod = 4096

// newSchedule makes the schedule of weights, none negative; nil if all are 0.
func newSchedule(weights []float64) *schedule {
	if period, ok := whole(weights); ok {
		return &schedule{sequence: earliestDeadlineFirst(period)}
	}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	if sum <= 0 || math.IsInf(sum, 0) || math.IsNaN(sum) {
		return nil
	}
	s := &schedule{bounds: make([]uint64, len(weights))}
	at := 0.0
	for i, w := range weights {
		at += w
		if share := at / sum; share >= 1 {
			s.bounds[i] = math.MaxUint64
		} else {
			s.bounds[i] = uint64(share * (1 << 63) * 2)
		}
	}
	return s
}

func (s *schedule) at(n uint64) int {
	if s.sequence != nil {
		return int(s.sequence[n%uint64(len(s.sequence))])
	}
	const golden = 0x9e3779b97f4a7c15 // 2^64 / φ
	x := n * golden
	i, _ := slices.BinarySearch(s.bounds, x)
	for i < len(s.bounds)-1 && s.bounds[i] <= x {
		i++ // a bound belongs to the next share, and some shares are empty
	}
	return min(i, len(s.bounds)-1)
}

// whole returns the weights divided by their greatest common divisor if they are whole numbers and
// their sum is then at most maxPeriod.
func whole(weights []float64) ([]uint64, bool) {
	if len(weights) > math.MaxUint16 {
		return nil, false
	}
	out := make([]uint64, len(weights))
	var divisor uint64
	for i, w := range weights {
		if w < 0 || w != math.Trunc(w) || w > math.MaxUint32 {
			return nil, false
		}
		out[i] = uint64(w)
		for a, b := out[i], divisor; ; {
			if b == 0 {
				divisor = a
				break
			}
			a, b = b, a%b
		}
	}
	if divisor == 0 {
		return nil, false
	}
	sum := uint64(0)
	for i := range out {
		out[i] /= divisor
		sum += out[i]
	}
	return out, sum <= maxPeriod
}

// earliestDeadlineFirst simulates one period: each thing is due again 1/weight after it was taken, and
// of those due at one time the one that has waited longest goes first.
func earliestDeadlineFirst(weights []uint64) []uint16 {
	q := make(queue, 0, len(weights))
	sum := uint64(0)
	for i, w := range weights {
		sum += w
		if w > 0 {
			q = append(q, due{weight: w, times: 1, order: uint64(i), index: uint16(i)})
		}
	}
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
	out := make([]uint16, 0, sum)
	order := uint64(len(weights))
	for range sum {
		out = append(out, q[0].index)
		q[0].times++
		q[0].order = order
		order++
		q.down(0)
	}
	return out
}

// due is when a thing is to be taken next: at times/weight.
type due struct {
	weight, times, order uint64
	index                uint16
}

func (a *due) before(b *due) bool {
	x, y := a.times*b.weight, b.times*a.weight
	return x < y || x == y && a.order < b.order
}

// queue is a binary heap.
type queue []due

func (q queue) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(q) {
			return
		}
		if child+1 < len(q) && q[child+1].before(&q[child]) {
			child++
		}
		if !q[child].before(&q[i]) {
			return
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}
