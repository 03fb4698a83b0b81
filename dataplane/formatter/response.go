package formatter

import "strings"

func nothing(dst []byte, _ *Context) ([]byte, Kind) { return dst, String }

func missing(dst []byte, _ *Context) ([]byte, Kind) { return dst, Missing }

func zero(dst []byte, _ *Context) ([]byte, Kind) { return append(dst, '0'), Number }

func responseCode(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.ResponseCode)
}

// compileResponseCodeDetails compiles %RESPONSE_CODE_DETAILS%, in which white space becomes
// underscores unless ALLOW_WHITESPACES is given. Other parameters mean nothing, as in Envoy.
func compileResponseCodeDetails(param string) (Operator, error) {
	keep := strings.EqualFold(param, "ALLOW_WHITESPACES")
	return func(dst []byte, c *Context) ([]byte, Kind) {
		switch {
		case c.Info == nil:
			return dst, Missing
		case keep:
			return str(dst, c.Info.Details)
		}
		return underscored(dst, c.Info.Details)
	}, nil
}

func responseFlags(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return append(dst, '-'), String
	}
	return c.Info.AppendFlags(dst), String
}

func responseFlagsLong(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return append(dst, '-'), String
	}
	return c.Info.AppendFlagsLong(dst), String
}

func connectionTerminationDetails(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.ConnectionTermination)
}

func responseHeadersBytes(dst []byte, c *Context) ([]byte, Kind) {
	switch {
	case c.Response != nil:
		return number(dst, c.Response.ByteSize())
	case c.Info != nil:
		return number(dst, c.Info.ResponseHeaderBytes)
	}
	return zero(dst, c)
}

func responseTrailersBytes(dst []byte, c *Context) ([]byte, Kind) {
	switch {
	case c.Trailers != nil:
		return number(dst, c.Trailers.ByteSize())
	case c.Info != nil:
		return number(dst, c.Info.TrailerBytes)
	}
	return zero(dst, c)
}

func bytesSent(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.BytesSent)
}

func localReplyBody(dst []byte, c *Context) ([]byte, Kind) {
	return append(dst, c.LocalReplyBody...), String
}

func accessLogType(dst []byte, c *Context) ([]byte, Kind) {
	return append(dst, c.LogType.String()...), String
}

func routeName(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.RouteName)
}

func routeResolutionCount(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return zero(dst, c)
	}
	return number(dst, c.Info.RouteResolutions)
}

func routeResolutionTime(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil || c.Info.RouteResolutions == 0 {
		return dst, Missing
	}
	return number(dst, c.Info.RouteResolutionTime.Microseconds())
}

func virtualClusterName(dst []byte, c *Context) ([]byte, Kind) {
	if c.Info == nil {
		return dst, Missing
	}
	return str(dst, c.Info.VirtualClusterName)
}
