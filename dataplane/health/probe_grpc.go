package health

import (
	"context"
	"encoding/binary"
	"strconv"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// grpcPrefix is the five bytes before a gRPC message: compressed or not, and its length.
const grpcPrefix = 5

// maxGRPCResponse bounds the answer, which is a few bytes.
const maxGRPCResponse = 1 << 16

// probeGRPC asks grpc.health.v1.Health (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
func (s *session) probeGRPC(ctx context.Context, c *GRPCCheck) result {
	bad := result{failure: network}
	st, err := s.open(ctx)
	if err != nil {
		return bad
	}
	defer release(ctx, st)()
	var req, resp header.Map
	req.Reset()
	req.Method, req.Path, req.Scheme = "POST", "/grpc.health.v1.Health/Check", "http"
	if t := s.host.Transport(); t != nil && t.Socket != nil && t.Socket.Secure() {
		req.Scheme = "https"
	}
	req.Authority, req.HasAuthority = s.checker.hostname(s.host, c.Authority), true
	req.Add("te", "trailers")
	req.Add("content-type", "application/grpc")
	req.Add("user-agent", userAgent)
	addHeaders(&req, c.Add)
	msg, merr := proto.Marshal(&healthpb.HealthCheckRequest{Service: c.Service})
	if merr != nil || st.SendHeaders(&req, false) != nil || st.SendData(frame(msg), true) != nil {
		return bad
	}
	end, ok := readHead(st, &resp)
	if !ok {
		return bad
	}
	body, ok := readBody(st, end, &HTTPCheck{Receive: [][]byte{nil}, BufferSize: maxGRPCResponse})
	if !ok {
		return bad
	}
	status, _ := resp.Get("grpc-status")
	if t := st.Trailers(); t != nil {
		if v, ok := t.Get("grpc-status"); ok {
			status = v
		}
	}
	return result{passed: resp.Status == 200 && status == "0" && serving(body), failure: active, status: resp.Status}
}

func frame(msg []byte) []byte {
	out := make([]byte, grpcPrefix, grpcPrefix+len(msg))
	binary.BigEndian.PutUint32(out[1:], uint32(len(msg)))
	return append(out, msg...)
}

func serving(body []byte) bool {
	if len(body) < grpcPrefix || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-grpcPrefix {
		return false
	}
	r := &healthpb.HealthCheckResponse{}
	return proto.Unmarshal(body[grpcPrefix:], r) == nil && r.GetStatus() == healthpb.HealthCheckResponse_SERVING
}

func itoa(n int) string { return strconv.Itoa(n) }
