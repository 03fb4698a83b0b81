// Package formatter compiles Envoy's substitution format strings, such as "%REQ(:PATH)% %RESPONSE_CODE%",
// for access logs, header values and local reply bodies.
// The language is https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage.
package formatter

import (
	"sync"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Context is what a format string can read. It goes by pointer through an interface, so keep it in the
// stream that it describes: one on the stack would be moved to the heap. Every field may be nil.
type Context struct {
	Request, Response, Trailers *header.Map // Trailers are the response's
	Info                        *streaminfo.Info
	LogType                     LogType
	// LocalReplyBody is %LOCAL_REPLY_BODY%. As in Envoy it is known to the formats of local replies alone.
	LocalReplyBody string
}

// conn is the downstream connection, or nil.
func (c *Context) conn() *streaminfo.Connection {
	if c.Info == nil {
		return nil
	}
	return c.Info.Conn
}

// Formatter is a compiled format. It is immutable, and appending allocates nothing but what dst needs
// to grow, as long as the operators are plain ones (metadata and filter state objects are not).
type Formatter interface {
	// Append formats without response trailers, log type and local reply body; any argument may be nil.
	Append(dst []byte, req, resp *header.Map, i *streaminfo.Info) []byte
	// AppendContext formats c.
	AppendContext(dst []byte, c *Context) []byte
	// Literal is the whole text of a format without operators.
	Literal() (text string, ok bool)
}

// Operator appends the value of one command operator and says what was appended.
type Operator func(dst []byte, c *Context) ([]byte, Kind)

// Command compiles one use of an operator; max is the length after the parameter, or -1. A Command
// need not cut its value itself.
type Command func(param string, max int) (Operator, error)

// Options is what compiling depends on besides the configuration. The zero Options is good.
type Options struct {
	// OmitEmpty prints an absent value as nothing instead of "-".
	OmitEmpty bool
	// Commands are operators that are linked from elsewhere, such as CEL and TYPED_CEL.
	Commands map[string]Command
	// Extensions are formatters (TypedExtensionConfig of category envoy.formatter) that are linked from
	// elsewhere, by type URL without its "type.googleapis.com/".
	Extensions map[string]func(*anypb.Any) (map[string]Command, error)
}

// Compile compiles a text format.
func Compile(format string, o Options) (Formatter, error) {
	segments, err := compileText(format, o)
	if err != nil {
		return nil, err
	}
	return &text{segments: segments, omitEmpty: o.OmitEmpty}, nil
}

// CompileHeader compiles the value of a header to be added, in which an absent value is nothing.
func CompileHeader(value string, o Options) (Formatter, error) {
	o.OmitEmpty = true
	return Compile(value, o)
}

// contexts lends Contexts to Append, whose callers have none.
var contexts = sync.Pool{New: func() any { return new(Context) }}

func appendPlain(f Formatter, dst []byte, req, resp *header.Map, i *streaminfo.Info) []byte {
	c := contexts.Get().(*Context)
	c.Request, c.Response, c.Info = req, resp, i
	dst = f.AppendContext(dst, c)
	*c = Context{}
	contexts.Put(c)
	return dst
}
