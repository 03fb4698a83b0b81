package stats

// Bins is what a histogram has recorded: how many values in each bin, by the bin's number in
// ascending order of its bound.
type Bins struct {
	// Count and Sum are of all values; Sum is exact where circllhist's is the bins' approximation.
	Count, Sum uint64
	// Zero counts zeros. Pages[d][i] counts values from (10+i)/10 × 10^d; a nil page is empty.
	Zero  uint64
	Pages [decades]*[perPage]uint64
}
