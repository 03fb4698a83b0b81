package route

import (
	"errors"
	"fmt"
	"os"
	"strings"

	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-proxy/pillion/dataplane/formatter"
)

// DirectResponse is a compiled DirectResponseAction.
type DirectResponse struct {
	Status int
	// Body is the body; with Format it is what %LOCAL_REPLY_BODY% stands for.
	Body string
	// Format makes the body, with its own content type; nil: Body is it.
	Format *formatter.Substitution
}

// defaultDirectBody is max_direct_response_body_size_bytes where it is absent.
const defaultDirectBody = 4096

func (c *compiler) direct(p *routepb.DirectResponseAction) (*DirectResponse, error) {
	d := &DirectResponse{Status: int(p.GetStatus())}
	if d.Status < 200 || d.Status >= 600 {
		return nil, errors.New("DirectResponseAction.status: value must be inside range [200, 600)")
	}
	if p.GetBody() != nil {
		if err := c.checkBodyFile(p.GetBody().GetFilename()); err != nil {
			return nil, err
		}
		body, err := formatter.ReadDataSource(p.GetBody())
		if err != nil {
			return nil, err
		}
		if uint64(len(body)) > c.maxDirectBody {
			return nil, fmt.Errorf("response body size is %d bytes; maximum is %d", len(body), c.maxDirectBody)
		}
		d.Body = body
	}
	if p.GetBodyFormat() != nil {
		f, err := formatter.CompileSubstitution(p.GetBodyFormat(), c.o.Formatter)
		if err != nil {
			return nil, err
		}
		d.Format = f
	}
	return d, nil
}

// checkBodyFile looks at the file before it is read, as Envoy does, with its words.
func (c *compiler) checkBodyFile(name string) error {
	if name == "" {
		return nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return fmt.Errorf("file %s does not exist", name)
	case info.Mode().IsRegular() && uint64(info.Size()) > c.maxDirectBody:
		return fmt.Errorf("file %s size is %d bytes; maximum is %d", name, info.Size(), c.maxDirectBody)
	}
	return nil
}

// AppendBody appends the response's body, and tells its content type: "" is the usual one.
func (d *DirectResponse) AppendBody(dst []byte, x *formatter.Context) (_ []byte, contentType string) {
	if d.Format == nil {
		return append(dst, d.Body...), ""
	}
	x.LocalReplyBody = d.Body
	return d.Format.AppendContext(dst, x), strings.TrimSpace(d.Format.ContentType)
}
