package formatter

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Substitution is a compiled SubstitutionFormatString.
type Substitution struct {
	Formatter
	// ContentType is what content_type says, or text/plain or application/json.
	ContentType string
}

// typePrefix comes before the name of a message in a type URL.
const typePrefix = "type.googleapis.com/"

// The formatters of Envoy that are part of this package: two are built in and need not be listed, the
// third brings its operator only where it is listed.
const (
	metadataFormatter        = "envoy.extensions.formatter.metadata.v3.Metadata"
	celFormatter             = "envoy.extensions.formatter.cel.v3.Cel"
	reqWithoutQueryFormatter = "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
)

// CompileSubstitution compiles a SubstitutionFormatString.
func CompileSubstitution(p *corepb.SubstitutionFormatString, o Options) (*Substitution, error) {
	o, err := o.with(p.GetFormatters())
	if err != nil {
		return nil, err
	}
	o.OmitEmpty = p.GetOmitEmptyValues()
	// json_format_options.sort_properties changes nothing: as in Envoy properties always come out sorted.
	out := &Substitution{ContentType: p.GetContentType()}
	defaultType := "text/plain"
	switch f := p.GetFormat().(type) {
	case *corepb.SubstitutionFormatString_TextFormat:
		out.Formatter, err = Compile(f.TextFormat, o)
	case *corepb.SubstitutionFormatString_TextFormatSource:
		var source string
		if source, err = ReadDataSource(f.TextFormatSource); err == nil {
			out.Formatter, err = Compile(source, o)
		}
	case *corepb.SubstitutionFormatString_JsonFormat:
		defaultType = "application/json"
		out.Formatter, err = CompileJSON(f.JsonFormat, o)
	default:
		return nil, errors.New(`SubstitutionFormatString: field: "format", reason: is required`)
	}
	if err != nil {
		return nil, err
	}
	if out.ContentType == "" {
		out.ContentType = defaultType
	}
	return out, nil
}

// with adds the commands of the formatters that a format lists.
func (o Options) with(formatters []*corepb.TypedExtensionConfig) (Options, error) {
	if len(formatters) == 0 {
		return o, nil
	}
	commands := maps.Clone(o.Commands)
	if commands == nil {
		commands = map[string]Command{}
	}
	for _, f := range formatters {
		url := strings.TrimPrefix(f.GetTypedConfig().GetTypeUrl(), typePrefix)
		compile, ok := o.Extensions[url]
		switch {
		case ok:
			more, err := compile(f.GetTypedConfig())
			if err != nil {
				return o, fmt.Errorf("formatter %q: %w", f.GetName(), err)
			}
			maps.Copy(commands, more)
		case url == metadataFormatter:
		case url == celFormatter && o.Commands["CEL"] != nil:
			if len(f.GetTypedConfig().GetValue()) > 0 {
				return o, errors.New("field Cel.cel_config is not supported")
			}
		case url == reqWithoutQueryFormatter:
			commands["REQ_WITHOUT_QUERY"] = requestWithoutQuery
		default:
			return o, fmt.Errorf("Formatter not found: %s", f.GetName())
		}
	}
	o.Commands = commands
	return o, nil
}

// ReadDataSource reads a DataSource, with Envoy's errors.
func ReadDataSource(p *corepb.DataSource) (string, error) {
	if p.GetWatchedDirectory() != nil {
		return "", errors.New("field DataSource.watched_directory is not supported")
	}
	switch s := p.GetSpecifier().(type) {
	case *corepb.DataSource_InlineString:
		return s.InlineString, nil
	case *corepb.DataSource_InlineBytes:
		return string(s.InlineBytes), nil
	case *corepb.DataSource_Filename:
		b, err := os.ReadFile(s.Filename)
		if err != nil {
			return "", fmt.Errorf("Invalid path: %s", s.Filename)
		}
		return string(b), nil
	case *corepb.DataSource_EnvironmentVariable:
		v, ok := os.LookupEnv(s.EnvironmentVariable)
		if !ok {
			return "", fmt.Errorf("Environment variable doesn't exist: %s", s.EnvironmentVariable)
		}
		return v, nil
	}
	return "", errors.New(`DataSource: field: "specifier", reason: is required`)
}
