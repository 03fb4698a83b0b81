// Package matcher holds compiled matchers of strings, headers, queries, paths, metadata, filter state
// and addresses, and the unified matching tree. Compiled matchers are immutable; Match takes no lock
// and allocates nothing.
package matcher

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"
)

// Options is what compiling depends on besides the configuration. The zero Options is Envoy's default.
type Options struct {
	// MaxProgramSize is the runtime's re2.max_program_size.error_level; 0 is its default of 100.
	MaxProgramSize uint32
}

func (o Options) maxProgramSize() int {
	if o.MaxProgramSize == 0 {
		return 100
	}
	return int(o.MaxProgramSize)
}

// Extension is a TypedExtensionConfig, of Envoy's core.v3 or of xds.core.v3.
type Extension interface {
	GetName() string
	GetTypedConfig() *anypb.Any
}

const typePrefix = "type.googleapis.com/"

// Unregistered is Envoy's error for an extension that it does not have.
func Unregistered(x Extension) error {
	url := strings.TrimPrefix(x.GetTypedConfig().GetTypeUrl(), typePrefix)
	return fmt.Errorf("Didn't find a registered implementation for '%s' with type URL: '%s'", x.GetName(), url)
}
