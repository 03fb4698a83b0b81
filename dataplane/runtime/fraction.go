package runtime

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// Fraction is a compiled RuntimeFractionalPercent: a share of requests, which a runtime key may change.
type Fraction struct {
	Numerator   uint32
	Denominator uint32 // 100, 10,000 or 1,000,000; 0: always
	Key         string
}

// CompileFraction compiles p; nil is always on.
func CompileFraction(p *corepb.RuntimeFractionalPercent) Fraction {
	if p == nil {
		return Fraction{}
	}
	f := CompilePercent(p.GetDefaultValue())
	f.Key = p.GetRuntimeKey()
	return f
}

// CompilePercent compiles a FractionalPercent; nil is never on.
func CompilePercent(p *typepb.FractionalPercent) Fraction {
	f := Fraction{Numerator: p.GetNumerator(), Denominator: 100}
	switch p.GetDenominator() {
	case typepb.FractionalPercent_TEN_THOUSAND:
		f.Denominator = 10_000
	case typepb.FractionalPercent_MILLION:
		f.Denominator = 1_000_000
	case typepb.FractionalPercent_HUNDRED:
	}
	return f
}

// Percent is a Fraction of whole percents.
func Percent(n uint32) Fraction { return Fraction{Numerator: n, Denominator: 100} }

// Enabled tells whether a request with this random value is in the share.
func (f Fraction) Enabled(l *Loader, random uint64) bool {
	if f.Key != "" {
		f = f.from(l)
	}
	return f.Denominator == 0 || random%uint64(f.Denominator) < uint64(f.Numerator)
}

// Roll is Enabled with a fresh random value.
func (f Fraction) Roll(l *Loader) bool {
	if f.Key == "" && (f.Denominator == 0 || f.Numerator >= f.Denominator) {
		return true
	}
	return f.Enabled(l, rand.Uint64())
}

// from reads the runtime key: a number is whole percents; a FractionalPercent may be given as a
// JSON or YAML object ("numerator: 5, denominator: MILLION").
func (f Fraction) from(l *Loader) Fraction {
	text, ok := l.Get(f.Key)
	if !ok {
		return f
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 {
		return Fraction{Numerator: uint32(min(n, 100)), Denominator: 100}
	}
	out := Fraction{Denominator: 100}
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(",{}\n\"' ", r) }) {
		name, value, _ := strings.Cut(part, ":")
		switch {
		case value == "" && name == "HUNDRED":
			out.Denominator = 100
		case value == "" && name == "TEN_THOUSAND":
			out.Denominator = 10_000
		case value == "" && name == "MILLION":
			out.Denominator = 1_000_000
		case value == "":
			if n, err := strconv.ParseUint(name, 10, 32); err == nil {
				out.Numerator = uint32(n)
			}
		}
	}
	if !strings.Contains(text, "numerator") {
		return f
	}
	return out
}

// String is "25%" or "3/10000".
func (f Fraction) String() string {
	switch f.Denominator {
	case 0:
		return "100%"
	case 100:
		return fmt.Sprintf("%d%%", f.Numerator)
	}
	return fmt.Sprintf("%d/%d", f.Numerator, f.Denominator)
}
