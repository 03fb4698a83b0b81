package formatter

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// grpcNames are the statuses as CAMEL_STRING and SNAKE_STRING print them.
var grpcNames = [...][2]string{
	{"OK", "OK"}, {"Canceled", "CANCELLED"}, {"Unknown", "UNKNOWN"}, {"InvalidArgument", "INVALID_ARGUMENT"},
	{"DeadlineExceeded", "DEADLINE_EXCEEDED"}, {"NotFound", "NOT_FOUND"}, {"AlreadyExists", "ALREADY_EXISTS"},
	{"PermissionDenied", "PERMISSION_DENIED"}, {"ResourceExhausted", "RESOURCE_EXHAUSTED"},
	{"FailedPrecondition", "FAILED_PRECONDITION"}, {"Aborted", "ABORTED"}, {"OutOfRange", "OUT_OF_RANGE"},
	{"Unimplemented", "UNIMPLEMENTED"}, {"Internal", "INTERNAL"}, {"Unavailable", "UNAVAILABLE"},
	{"DataLoss", "DATA_LOSS"}, {"Unauthenticated", "UNAUTHENTICATED"},
}

// compileGRPCStatus compiles %GRPC_STATUS(CAMEL_STRING|SNAKE_STRING|NUMBER)%.
func compileGRPCStatus(param string) (Operator, error) {
	form := 0
	switch param {
	case "", "CAMEL_STRING":
	case "SNAKE_STRING":
		form = 1
	case "NUMBER":
		return grpcStatusNumber, nil
	default:
		return nil, fmt.Errorf("GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: %s", param)
	}
	return func(dst []byte, c *Context) ([]byte, Kind) {
		n, ok := c.requestGRPCStatus()
		switch {
		case !ok:
			return dst, Missing
		case n >= 0 && n < int64(len(grpcNames)):
			return append(dst, grpcNames[n][form]...), String
		}
		return strconv.AppendInt(dst, n, 10), String
	}, nil
}

func grpcStatusNumber(dst []byte, c *Context) ([]byte, Kind) {
	n, ok := c.requestGRPCStatus()
	if !ok {
		return dst, Missing
	}
	return number(dst, n)
}

// requestGRPCStatus is GRPCStatus for gRPC requests alone.
func (c *Context) requestGRPCStatus() (int64, bool) {
	if c.Request == nil || !isGRPC(c.Request.Value(header.ContentType)) {
		return 0, false
	}
	return c.GRPCStatus()
}

// GRPCStatus is the gRPC status of the response: from the trailers, from the headers, or else what the
// HTTP status stands for. A status that is no number is -1.
func (c *Context) GRPCStatus() (int64, bool) {
	for _, m := range [...]*header.Map{c.Trailers, c.Response} {
		if m == nil {
			continue
		}
		if s := m.Value(header.GrpcStatus); s != "" {
			return parseGRPCStatus(s), true
		}
	}
	if c.Info == nil || c.Info.ResponseCode == 0 {
		return 0, false
	}
	return grpcOfHTTP(c.Info.ResponseCode), true
}

// isGRPC is Envoy's hasGrpcContentType.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+')
}

// parseGRPCStatus is strconv.ParseInt without an error to allocate.
func parseGRPCStatus(s string) int64 {
	sign := int64(1)
	switch s[0] {
	case '-':
		sign, s = -1, s[1:]
	case '+':
		s = s[1:]
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || n > 1<<59 {
			return -1
		}
		n = n*10 + int64(s[i]-'0')
	}
	if s == "" {
		return -1
	}
	return sign * n
}

// grpcOfHTTP is https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md.
func grpcOfHTTP(code int) int64 {
	switch code {
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	}
	return 2
}
