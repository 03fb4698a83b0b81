package stats

import "math"

// Bins is what a histogram has recorded in some time, in circllhist's bins: zero, and for each power
// of ten the ninety two-digit numbers 1.0, 1.1 … 9.9. All statistics are computed from the bins, as
// Envoy's are, so that they come out as its own to the last digit.
type Bins struct {
	count uint64
	bins  []binCount // ascending; none is empty
}

type binCount struct {
	at uint16 // 0 holds zeros; 1 + decade*perPage + i holds numbers from (10+i)/10 × 10^decade
	n  uint64
}

const allBins = 1 + decades*perPage

// Bin is one bin: how many values were Lower or more, and less than Lower + Width.
type Bin struct {
	Lower, Width float64
	Count        uint64
}

// Quantiles are those that Envoy reports, as fractions of one.
var quantiles = [...]float64{0, 0.25, 0.5, 0.75, 0.90, 0.95, 0.99, 0.995, 0.999, 1}

// noNumber is circllhist's NaN; which one it is shows in protobuf.
var noNumber = math.Float64frombits(0x7fffffffffffffff)

// Count is the number of values.
func (b *Bins) Count() uint64 { return b.count }

// Len is the number of bins that are not empty.
func (b *Bins) Len() int { return len(b.bins) }

// At is the i-th bin that is not empty, in ascending order.
func (b *Bins) At(i int) Bin {
	c := b.bins[i]
	if c.at == 0 {
		return Bin{Count: c.n}
	}
	unit := pow10f[(c.at-1)/perPage]
	return Bin{Lower: float64(10+(c.at-1)%perPage) / 10 * unit, Width: unit / 10, Count: c.n}
}

// Sum is the sum of the values as far as the bins know: each counts for the harmonic mean of its
// bin's bounds, which is where circllhist takes a bin's middle to be.
func (b *Bins) Sum() float64 {
	sum := 0.0
	for i := range b.bins {
		bin := b.At(i)
		if bin.Lower != 0 {
			ratio := bin.Lower / (bin.Lower + (bin.Lower + bin.Width))
			sum += (bin.Lower + bin.Width*ratio) * float64(bin.Count)
		}
	}
	return sum
}

// Quantiles computes the values at Envoy's ten quantiles: of n values in a bin the k-th lies k/(n+1)
// of the way through it. Without values they are not numbers.
func (b *Bins) Quantiles() (q [len(quantiles)]float64) {
	var lower, upper uint64 // values below the bin, and up to its end
	var bin Bin
	i := -1
	for at, fraction := range quantiles {
		if b.count == 0 {
			q[at] = noNumber
			continue
		}
		rank := max(math.Ceil(fraction*float64(b.count)), 1)
		for float64(upper) < rank && i+1 < len(b.bins) {
			i++
			bin = b.At(i)
			lower, upper = upper, upper+bin.Count
		}
		q[at] = bin.Lower + bin.Width*((rank-float64(lower))/float64(bin.Count+1))
	}
	return q
}

// reset empties b, keeping its memory: intervals come and go.
func (b *Bins) reset() { b.count, b.bins = 0, b.bins[:0] }

// add adds all of o to b, in place from the end, so that bins known already cost nothing.
func (b *Bins) add(o *Bins) {
	b.count += o.count
	have := len(b.bins)
	for i, j := 0, 0; j < len(o.bins); j++ {
		for i < have && b.bins[i].at < o.bins[j].at {
			i++
		}
		if i == have || b.bins[i].at != o.bins[j].at {
			b.bins = append(b.bins, binCount{})
		}
	}
	at := len(b.bins) - 1
	for i, j := have-1, len(o.bins)-1; j >= 0; at-- {
		switch {
		case i < 0 || b.bins[i].at < o.bins[j].at:
			b.bins[at] = o.bins[j]
			j--
		case b.bins[i].at == o.bins[j].at:
			b.bins[at] = binCount{b.bins[i].at, b.bins[i].n + o.bins[j].n}
			i, j = i-1, j-1
		default:
			b.bins[at] = b.bins[i]
			i--
		}
	}
}

// dense is where a flush adds up the workers' pages before they become Bins.
type dense struct {
	n      [allBins]uint64
	lo, hi int // what is not zero lies in [lo, hi)
}

func (d *dense) add(at int, n uint64) {
	if d.hi == 0 || at < d.lo {
		d.lo = at
	}
	d.hi = max(d.hi, at+1)
	d.n[at] += n
}

// moveTo empties d into b, which was reset.
func (d *dense) moveTo(b *Bins) {
	for at := d.lo; at < d.hi; at++ {
		if d.n[at] != 0 {
			b.bins = append(b.bins, binCount{uint16(at), d.n[at]})
			b.count += d.n[at]
			d.n[at] = 0
		}
	}
	d.lo, d.hi = 0, 0
}

var pow10f = func() (p [decades]float64) {
	for i := range p {
		p[i] = math.Pow10(i)
	}
	return p
}()
