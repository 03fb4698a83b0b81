package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	accesslogpb "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	filepb "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/formatter"
	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// compileAccessLog opens Admin.access_log, and the file of the deprecated access_log_path.
func (a *Admin) compileAccessLog() (*accesslog.Logs, error) {
	logs := a.o.Config.GetAccessLog()
	//nolint:staticcheck // SA1019: the deprecated field is still sent.
	if path := a.o.Config.GetAccessLogPath(); path != "" {
		config, err := anypb.New(&filepb.FileAccessLog{Path: path})
		if err != nil {
			return nil, err
		}
		logs = append(slices.Clip(logs), &accesslogpb.AccessLog{Name: "envoy.access_loggers.file", ConfigType: &accesslogpb.AccessLog_TypedConfig{TypedConfig: config}})
	}
	if len(logs) == 0 || a.o.Files == nil {
		return nil, nil //nolint:nilnil // no logs: a nil Logs logs nothing.
	}
	c, err := accesslog.Compile(logs, a.o.AccessLog)
	if err != nil {
		return nil, err
	}
	return c.Build(&accesslog.Context{Files: a.o.Files, Runtime: a.o.Runtime})
}

// logAccess logs one request.
func (a *Admin) logAccess(c *conn, r *http.Request, rp *reply, started time.Time) {
	if a.access.Empty() {
		return
	}
	var req, resp header.Map
	req.Method, req.Authority, req.Scheme, req.HasAuthority = r.Method, r.Host, "http", true
	req.Path = r.RequestURI
	if strings.HasPrefix(req.Path, "/") {
		_, req.Path = normalise(req.Path)
	}
	for name, values := range r.Header {
		for _, v := range values {
			req.Add(strings.ToLower(name), v)
		}
	}
	if remote := c.remote(); remote.IsValid() {
		req.AppendID(header.XForwardedFor, remote.Addr().String(), ",")
	}
	resp.Status = rp.code
	if rp.contentType != "" {
		resp.Add("content-type", rp.contentType)
	}
	info := &streaminfo.Info{
		Start: started, Protocol: streaminfo.HTTP11, ResponseCode: rp.code, Details: streaminfo.DetailAdmin,
		BytesReceived: uint64(max(r.ContentLength, 0)), BytesSent: rp.size,
		Conn: &streaminfo.Connection{
			ID: c.id, Start: c.started, Remote: c.remote(), DirectRemote: c.remote(), Local: c.localAddr(), DirectLocal: c.localAddr(),
		},
	}
	if c.http2 {
		info.Protocol = streaminfo.HTTP2
	}
	info.RequestComplete = info.Now()
	info.LastDownstreamRx, info.FirstDownstreamTx, info.LastDownstreamTx = 1, info.RequestComplete, info.RequestComplete
	a.access.Log(&accesslog.Entry{Request: &req, Response: &resp, Info: info, LogType: formatter.DownstreamEnd})
}
