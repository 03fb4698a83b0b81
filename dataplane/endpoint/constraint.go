package endpoint

import (
	"errors"
	"regexp"
	"strings"
)

// Constraint turns the error of a generated Validate method into Envoy's words: the same generator
// wrote both, with other phrases around the same facts.
func Constraint(err error) error {
	s := invalid.ReplaceAllString(err.Error(), "${1}ValidationError.${2}:")
	s = strings.ReplaceAll(s, "| caused by: ", "| caused by ")
	s = strings.ReplaceAll(s, " runes", " characters")
	return errors.New("Proto constraint validation failed (" + s + ")") //nolint:staticcheck // Envoy's text.
}

// invalid is the generator's "invalid Outer_Inner.Field[0]: ": C++ drops the outer names.
var invalid = regexp.MustCompile(`invalid (?:[A-Za-z0-9]+_)*([A-Za-z0-9]+)\.([A-Za-z0-9_]+(?:\[[^\]]*\])?):`)
