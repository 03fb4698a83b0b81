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
