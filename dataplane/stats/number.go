package stats

import (
	"math"
	"strconv"
)

// Envoy writes numbers in five ways, and somebody reads each.

// appendShort writes the fewest digits that read back as v, as C++'s fmt does: /stats text.
func appendShort(dst []byte, v float64) []byte {
	if math.IsNaN(v) {
		return append(dst, "nan"...)
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// appendShortest writes the shorter of fixed and scientific notation, as std::to_chars does: JSON.
func appendShortest(dst []byte, v float64) []byte {
	if math.IsNaN(v) {
		return append(dst, "null"...)
	}
	at, digits := len(dst), -1
	if v == math.Trunc(v) {
		digits = 0 // large numbers have all their digits, not zeros
	}
	dst = strconv.AppendFloat(dst, v, 'f', digits, 64)
	fixed := len(dst) - at
	dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
	if scientific := dst[at+fixed:]; len(scientific) < fixed {
		return append(dst[:at], scientific...)
	}
	return dst[:at+fixed]
}

// appendBound writes 15 significant digits: bins in /stats text.
func appendBound(dst []byte, v float64) []byte { return strconv.AppendFloat(dst, v, 'g', 15, 64) }

// appendSix writes six significant digits, as absl::StrCat does: bucket names in /stats text.
func appendSix(dst []byte, v float64) []byte { return strconv.AppendFloat(dst, v, 'g', 6, 64) }

// appendFull writes up to 32 significant digits, as "%.32g" does: Prometheus.
func appendFull(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "nan"...)
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.AppendInt(dst, int64(v), 10)
	}
	return strconv.AppendFloat(dst, v, 'g', 32, 64)
}
