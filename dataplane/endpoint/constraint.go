package endpoint

import (
	"errors"
	"regexp"
	"strings"
)

// Constraint turns the error of a generated Validate method into Envoy's words: the same generator
// wrote both, with other phrases around the same facts.
func Constraint(err error) error {
	s := oneof.ReplaceAllStringFunc(err.Error(), func(m string) string {
		field := oneof.FindStringSubmatch(m)[1]
		return `field: "` + strings.ToLower(capital.ReplaceAllString(field, "${1}_${2}")) + `", reason: is required`
	})
	s = invalid.ReplaceAllString(s, "${1}ValidationError.${2}:")
	s = strings.ReplaceAll(s, "| caused by: ", "| caused by ")
	s = strings.ReplaceAll(s, " runes", " characters")
	return errors.New("Proto constraint validation failed (" + s + ")") //nolint:staticcheck // Envoy's text.
}

var (
	// invalid is the generator's "invalid Outer_Inner.Field[0]: ": C++ drops the outer names.
	invalid = regexp.MustCompile(`invalid (?:[A-Za-z0-9]+_)*([A-Za-z0-9]+)\.([A-Za-z0-9_]+(?:\[[^\]]*\])?):`)
	// oneof is the same for a oneof of which nothing is set: C++ names it alone, as the proto does.
	oneof = regexp.MustCompile(`invalid [A-Za-z0-9_]+\.(HealthChecker|Payload|UpstreamProtocolOptions|ProtocolConfig|HeaderFormat|ConfigSourceSpecifier|` +
		`Address|AddressNameSpecifier|PortSpecifier|MatchPattern|Specifier|TargetSpecifier|PolicySpecifier|HostRewriteSpecifier|Segment|Rule): value is required`)
	capital = regexp.MustCompile(`([a-z0-9])([A-Z])`)
)
