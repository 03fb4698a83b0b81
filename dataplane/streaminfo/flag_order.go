package streaminfo

// chronological is the order in which a request comes to have its flags. Envoy logs flags in the order
// in which they were set, which a set does not know; for TCP the order of the table is that order, for
// HTTP it is this one: what filters found, then that no retry is left, then what the last attempt
// failed of, then the client.
var chronological = [...]Flag{
	DelayInjected, FaultInjected, RateLimited, UnauthorizedExternalService, RateLimitServiceError,
	InvalidEnvoyRequestHeaders, ResponseFromCacheFilter, NoFilterConfigFound, NoRouteFound, NoClusterFound,
	DropOverload, UnconditionalDropOverload, DNSResolutionFailed, FailedLocalHealthCheck, NoHealthyUpstream,
	UpstreamRetryLimitExceeded,
	UpstreamRequestTimeout, LocalReset, UpstreamRemoteReset, UpstreamConnectionFailure, UpstreamConnectionTermination,
	UpstreamOverflow, UpstreamMaxStreamDurationReached, UpstreamProtocolError,
	StreamIdleTimeout, DurationTimeout, OverloadManagerTerminated, DownstreamProtocolError,
	DownstreamConnectionTermination, DownstreamRemoteReset,
}

// AppendFlags writes the stream's flags as %RESPONSE_FLAGS% does: "URX,UF", or "-".
func (i *Info) AppendFlags(dst []byte) []byte { return i.appendFlags(dst, Flag.Append) }

// AppendFlagsLong writes the stream's flags as %RESPONSE_FLAGS_LONG% does.
func (i *Info) AppendFlagsLong(dst []byte) []byte { return i.appendFlags(dst, Flag.AppendLong) }

func (i *Info) appendFlags(dst []byte, one func(Flag, []byte) []byte) []byte {
	f := i.Flags
	if f&(f-1) == 0 || i.Protocol == ProtocolNone {
		return one(f, dst)
	}
	first := true
	for _, flag := range chronological {
		if f&flag == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = one(flag, dst)
	}
	return dst
}
