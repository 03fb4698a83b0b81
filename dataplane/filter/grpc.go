package filter

import "time"

// GRPCTimeout parses a grpc-timeout: at most eight digits and a unit (gRPC over HTTP/2, "Timeout").
func GRPCTimeout(v string) (time.Duration, bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	var n time.Duration
	for i := range len(v) - 1 {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n = n*10 + time.Duration(v[i]-'0')
	}
	switch v[len(v)-1] {
	case 'H':
		return n * time.Hour, true
	case 'M':
		return n * time.Minute, true
	case 'S':
		return n * time.Second, true
	case 'm':
		return n * time.Millisecond, true
	case 'u':
		return n * time.Microsecond, true
	case 'n':
		return n, true
	}
	return 0, false
}

// GRPCStatus is a status code of gRPC.
type GRPCStatus uint8

// GRPCCode parses grpc-status; ok is false where it is not one of gRPC's codes.
func GRPCCode(v string) (code GRPCStatus, ok bool) {
	if len(v) == 0 || len(v) > 2 {
		return 0, false
	}
	n := 0
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n = n*10 + int(v[i]-'0')
	}
	return GRPCStatus(n), n < len(grpcHTTP)
}

// grpcHTTP are the HTTP statuses that gRPC's codes correspond to (google/rpc/code.proto).
var grpcHTTP = [...]int{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}

// HTTP is the HTTP status that the code corresponds to.
func (c GRPCStatus) HTTP() int { return grpcHTTP[c] }
