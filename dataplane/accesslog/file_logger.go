package accesslog

import (
	"sync"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filepb "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
)

// defaultFormat is the format of a log that is given none
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage#default-format-string).
const defaultFormat = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ` +
	`%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ` +
	`"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"` + "\n"

// fileConfig is a logger that writes lines to a file, to stdout or to stderr.
type fileConfig struct {
	path   string
	format formatter.Formatter
}

func compileFile(p *filepb.FileAccessLog, o formatter.Options) (LoggerConfig, error) {
	out := fileConfig{path: p.GetPath()}
	var err error
	switch f := p.GetAccessLogFormat().(type) {
	case *filepb.FileAccessLog_LogFormat:
		return compileStream(out.path, f.LogFormat, o)
	case *filepb.FileAccessLog_JsonFormat:
		// Deprecated, and no longer made of strings alone: Envoy too treats it as typed_json_format.
		out.format, err = formatter.CompileJSON(f.JsonFormat, o)
	case *filepb.FileAccessLog_TypedJsonFormat:
		out.format, err = formatter.CompileJSON(f.TypedJsonFormat, o)
	case *filepb.FileAccessLog_Format:
		if f.Format == "" {
			return compileStream(out.path, nil, o)
		}
		out.format, err = formatter.Compile(f.Format, o)
	default:
		return compileStream(out.path, nil, o)
	}
	return out, err
}

// compileStream compiles a logger with a log_format, which may be nil.
func compileStream(path string, format *corepb.SubstitutionFormatString, o formatter.Options) (LoggerConfig, error) {
	out := fileConfig{path: path}
	if format == nil {
		var err error
		out.format, err = formatter.Compile(defaultFormat, formatter.Options{})
		return out, err
	}
	s, err := formatter.CompileSubstitution(format, o)
	if err != nil {
		return nil, err
	}
	out.format = s.Formatter
	return out, nil
}

// Build opens the file, which all logs of its path share.
func (c fileConfig) Build(x *Context) (Logger, error) {
	f, err := x.Files.Open(c.path)
	if err != nil {
		return nil, err
	}
	return &fileLogger{format: c.format, file: f}, nil
}

type fileLogger struct {
	format formatter.Formatter
	file   *File
}

// lines lends the buffers that entries are formatted in, outside the file's lock.
var lines = sync.Pool{New: func() any { return &line{make([]byte, 0, 1024)} }}

type line struct{ b []byte }

// maxLine is the capacity above which a buffer is not kept.
const maxLine = 64 << 10

func (l *fileLogger) Log(e *Entry) {
	b := lines.Get().(*line)
	b.b = l.format.AppendContext(b.b[:0], e)
	l.file.Append(b.b)
	if cap(b.b) <= maxLine {
		lines.Put(b)
	}
}

// Close gives the file up.
func (l *fileLogger) Close() { l.file.Close() }

var (
	_ Logger = (*fileLogger)(nil)
	_ closer = (*fileLogger)(nil)
)
