package accesslog

import (
	"errors"
	"fmt"
	"strings"

	accesslogpb "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	filepb "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streampb "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// Options is what compiling depends on besides the configuration. The zero Options is good.
type Options struct {
	Format  formatter.Options
	Matcher matcher.Options
	// Loggers are the loggers that are linked from elsewhere (gRPC, OpenTelemetry), by the type URL of
	// their configuration without its "type.googleapis.com/". Without them they are refused.
	Loggers map[string]CompileLogger
	// Filters are the extension filters (CEL), in the same way.
	Filters map[string]func(*anypb.Any) (Filter, error)
}

// CompileLogger compiles the configuration of one kind of logger. It is pure.
type CompileLogger func(config *anypb.Any, o Options) (LoggerConfig, error)

// LoggerConfig is the compiled configuration of a logger.
type LoggerConfig interface {
	// Build gives it life. If the Logger has a method Close(), that is called when it is given up.
	Build(c *Context) (Logger, error)
}

// Context is what loggers live in.
type Context struct {
	Files   *Files
	Runtime *runtime.Loader
}

// Config is a compiled list of access logs. It is immutable.
type Config struct {
	logs []filteredConfig
}

type filteredConfig struct {
	filter Filter
	logger LoggerConfig
}

const typePrefix = "type.googleapis.com/"

// Compile compiles a list of access logs. It opens nothing: a file that cannot be opened is an error of
// Build.
func Compile(ps []*accesslogpb.AccessLog, o Options) (*Config, error) {
	out := &Config{}
	for _, p := range ps {
		var c filteredConfig
		var err error
		if f := p.GetFilter(); f != nil {
			if c.filter, err = CompileFilter(f, o); err != nil {
				return nil, err
			}
		}
		if c.logger, err = compileLogger(p, o); err != nil {
			return nil, err
		}
		out.logs = append(out.logs, c)
	}
	return out, nil
}

func compileLogger(p *accesslogpb.AccessLog, o Options) (LoggerConfig, error) {
	config := p.GetTypedConfig()
	url := strings.TrimPrefix(config.GetTypeUrl(), typePrefix)
	if compile, ok := o.Loggers[url]; ok {
		return compile(config, o)
	}
	switch url {
	case "envoy.extensions.access_loggers.file.v3.FileAccessLog":
		m := &filepb.FileAccessLog{}
		if err := unpack(config, m); err != nil {
			return nil, err
		}
		return compileFile(m, o.Format)
	case "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog":
		m := &streampb.StdoutAccessLog{}
		if err := unpack(config, m); err != nil {
			return nil, err
		}
		return compileStream(stdoutPath, m.GetLogFormat(), o.Format)
	case "envoy.extensions.access_loggers.stream.v3.StderrAccessLog":
		m := &streampb.StderrAccessLog{}
		if err := unpack(config, m); err != nil {
			return nil, err
		}
		return compileStream(stderrPath, m.GetLogFormat(), o.Format)
	}
	return nil, matcher.Unregistered(p)
}

// Build opens the logs. On an error nothing is left open.
func (c *Config) Build(x *Context) (*Logs, error) {
	out := &Logs{runtime: x.Runtime}
	for _, l := range c.logs {
		logger, err := l.logger.Build(x)
		if err != nil {
			out.Close()
			return nil, err
		}
		out.logs = append(out.logs, filtered{l.filter, logger})
	}
	return out, nil
}

// Len is the number of logs.
func (c *Config) Len() int { return len(c.logs) }

// unpack reads config into m and validates it.
func unpack(config *anypb.Any, m interface {
	proto.Message
	Validate() error
}) error {
	if err := config.UnmarshalTo(m); err != nil {
		return fmt.Errorf("Unable to unpack as %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return constraint(m.Validate())
}

// violation is what protoc-gen-validate's errors have in common.
type violation interface {
	Field() string
	Reason() string
	Cause() error
	ErrorName() string
}

// constraint words a validation error as Envoy does.
func constraint(err error) error {
	if err == nil {
		return nil
	}
	var b strings.Builder
	var v violation
	for ; errors.As(err, &v); err = v.Cause() {
		if b.Len() > 0 {
			b.WriteString(" | caused by ")
		}
		fmt.Fprintf(&b, "%s.%s: %s", v.ErrorName(), v.Field(), strings.ReplaceAll(v.Reason(), " runes", " characters"))
	}
	return fmt.Errorf("Proto constraint validation failed (%s)", b.String())
}
