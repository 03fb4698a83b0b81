package formatter

import (
	"errors"
	"fmt"
)

// spec is an operator that may take a parameter or a length.
type spec struct {
	plain      bool // takes neither parameter nor length
	needsParam bool // refuses an empty parameter
	noLength   bool // refuses ":max"
	uncut      bool // takes ":max", which means nothing
	compile    func(param string) (Operator, error)
}

// compileCommand finds the operator of a command: those linked from elsewhere first, as in Envoy.
// The error texts are Envoy's.
func compileCommand(cmd command, o Options) (segment, error) {
	out := segment{max: cmd.max}
	var err error
	if c, ok := o.Commands[cmd.name]; ok {
		out.op, err = c(cmd.param, cmd.max)
		return out, err
	}
	s, ok := findSpec(cmd.name, o)
	switch {
	case !ok:
		return out, unknownCommand(cmd.name)
	case s.plain && (cmd.param != "" || cmd.max >= 0):
		return out, fmt.Errorf("%s does not take any parameters or length", cmd.name)
	case s.needsParam && cmd.param == "":
		return out, fmt.Errorf("%s requires parameters", cmd.name)
	case s.noLength && cmd.max >= 0:
		return out, fmt.Errorf("%s does not allow length to be specified.", cmd.name)
	}
	if s.uncut {
		out.max = -1
	}
	out.op, err = s.compile(cmd.param)
	return out, err
}

func findSpec(name string, o Options) (spec, bool) {
	if op, ok := plainOperators[name]; ok {
		return spec{plain: true, compile: func(string) (Operator, error) { return op, nil }}, true
	}
	if name == coalesce {
		// Not in the table, which would then refer to itself.
		return spec{needsParam: true, compile: func(param string) (Operator, error) { return compileCoalesce(param, o) }}, true
	}
	s, ok := parameterOperators[name]
	return s, ok
}

// plainOperators take neither parameter nor length.
var plainOperators = map[string]Operator{
	"PROTOCOL":              protocol,
	"REQUEST_HEADERS_BYTES": requestHeadersBytes,
	"BYTES_RECEIVED":        bytesReceived,
	"STREAM_ID":             streamID,
	"UNIQUE_ID":             uniqueID,
	"TRACE_ID":              traceID,
	"SPAN_ID":               spanID,

	"RESPONSE_CODE":                  responseCode,
	"RESPONSE_FLAGS":                 responseFlags,
	"RESPONSE_FLAGS_LONG":            responseFlagsLong,
	"CUSTOM_FLAGS":                   nothing,
	"CONNECTION_TERMINATION_DETAILS": connectionTerminationDetails,
	"RESPONSE_HEADERS_BYTES":         responseHeadersBytes,
	"RESPONSE_TRAILERS_BYTES":        responseTrailersBytes,
	"BYTES_SENT":                     bytesSent,
	"LOCAL_REPLY_BODY":               localReplyBody,
	"ACCESS_LOG_TYPE":                accessLogType,
	"GRPC_STATUS_NUMBER":             grpcStatusNumber,

	"DURATION":                                duration,
	"REQUEST_DURATION":                        requestDuration,
	"REQUEST_TX_DURATION":                     requestTxDuration,
	"RESPONSE_DURATION":                       responseDuration,
	"RESPONSE_TX_DURATION":                    responseTxDuration,
	"ROUNDTRIP_DURATION":                      missing, // QUIC's
	"DOWNSTREAM_HANDSHAKE_DURATION":           downstreamHandshakeDuration,
	"UPSTREAM_CONNECTION_POOL_READY_DURATION": upstreamPoolReadyDuration,
	"DOWNSTREAM_CX_RTT":                       zero, // QUIC's, as are the next two
	"BYTES_RETRANSMITTED":                     zero,
	"PACKETS_RETRANSMITTED":                   zero,

	"ROUTE_NAME":               routeName,
	"ROUTE_RESOLUTION_COUNT":   routeResolutionCount,
	"ROUTE_RESOLUTION_TIME_US": routeResolutionTime,
	"VIRTUAL_CLUSTER_NAME":     virtualClusterName,
	"FILTER_CHAIN_NAME":        filterChainName,
	"LISTENER_NAME":            listenerName,
	"CONNECTION_ID":            connectionID,

	"DOWNSTREAM_REMOTE_ADDRESS":                   address(downstreamRemote),
	"DOWNSTREAM_REMOTE_PORT":                      port(downstreamRemote),
	"DOWNSTREAM_LOCAL_ADDRESS":                    address(downstreamLocal),
	"DOWNSTREAM_LOCAL_PORT":                       port(downstreamLocal),
	"DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID":        endpointID(downstreamLocal),
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS":            address(downstreamDirectRemote),
	"DOWNSTREAM_DIRECT_REMOTE_PORT":               port(downstreamDirectRemote),
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS":             address(downstreamDirectLocal),
	"DOWNSTREAM_DIRECT_LOCAL_PORT":                port(downstreamDirectLocal),
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID": endpointID(downstreamDirectLocal),
	"UPSTREAM_REMOTE_ADDRESS":                     address(upstreamRemote),
	"UPSTREAM_REMOTE_PORT":                        port(upstreamRemote),
	"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID":         endpointID(upstreamRemote),
	"UPSTREAM_LOCAL_ADDRESS":                      address(upstreamLocal),
	"UPSTREAM_LOCAL_PORT":                         port(upstreamLocal),

	"DOWNSTREAM_TRANSPORT_FAILURE_REASON":           downstreamTransportFailureReason,
	"DOWNSTREAM_LOCAL_CLOSE_REASON":                 downstreamLocalCloseReason,
	"DOWNSTREAM_DETECTED_CLOSE_TYPE":                downstreamDetectedCloseType,
	"DOWNSTREAM_WIRE_BYTES_SENT":                    downstreamWireBytesSent,
	"DOWNSTREAM_WIRE_BYTES_RECEIVED":                downstreamWireBytesReceived,
	"DOWNSTREAM_HEADER_BYTES_SENT":                  downstreamHeaderBytesSent,
	"DOWNSTREAM_HEADER_BYTES_RECEIVED":              downstreamHeaderBytesReceived,
	"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT":     downstreamPlainHeaderBytesSent,
	"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": downstreamPlainHeaderBytesReceived,
	"TLS_JA3_FINGERPRINT":                           ja3,
	"TLS_JA4_FINGERPRINT":                           ja4,

	"UPSTREAM_HOST":                               upstreamHost,
	"UPSTREAM_HOST_NAME":                          upstreamHostName,
	"UPSTREAM_HOST_NAME_WITHOUT_PORT":             upstreamHostNameWithoutPort,
	"UPSTREAM_HOSTS_ATTEMPTED":                    attempted(appendHost),
	"UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT":       attempted(appendHostWithoutPort),
	"UPSTREAM_HOST_NAMES_ATTEMPTED":               attempted(appendHostName),
	"UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT":  attempted(appendHostNameWithoutPort),
	"UPSTREAM_CONNECTION_ID":                      upstreamConnectionID,
	"UPSTREAM_CONNECTION_IDS_ATTEMPTED":           upstreamConnectionIDsAttempted,
	"UPSTREAM_REQUEST_ATTEMPT_COUNT":              upstreamRequestAttemptCount,
	"UPSTREAM_CLUSTER":                            upstreamCluster,
	"UPSTREAM_CLUSTER_RAW":                        upstreamClusterRaw,
	"UPSTREAM_PROTOCOL":                           upstreamProtocol,
	"UPSTREAM_TRANSPORT_FAILURE_REASON":           upstreamTransportFailureReason,
	"UPSTREAM_LOCAL_CLOSE_REASON":                 upstreamLocalCloseReason,
	"UPSTREAM_DETECTED_CLOSE_TYPE":                upstreamDetectedCloseType,
	"UPSTREAM_WIRE_BYTES_SENT":                    upstreamWireBytesSent,
	"UPSTREAM_WIRE_BYTES_RECEIVED":                upstreamWireBytesReceived,
	"UPSTREAM_HEADER_BYTES_SENT":                  upstreamHeaderBytesSent,
	"UPSTREAM_HEADER_BYTES_RECEIVED":              upstreamHeaderBytesReceived,
	"UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT":     upstreamPlainHeaderBytesSent,
	"UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": upstreamPlainHeaderBytesReceived,

	"DOWNSTREAM_TLS_VERSION":                 tlsText(downstreamTLS, tlsVersion),
	"DOWNSTREAM_TLS_CIPHER":                  tlsText(downstreamTLS, tlsCipher),
	"DOWNSTREAM_TLS_SESSION_ID":              tlsText(downstreamTLS, tlsSessionID),
	"DOWNSTREAM_TLS_GROUP":                   tlsText(downstreamTLS, tlsGroup),
	"DOWNSTREAM_PEER_URI_SAN":                names(downstreamPeer, uriSANs),
	"DOWNSTREAM_PEER_DNS_SAN":                names(downstreamPeer, dnsSANs),
	"DOWNSTREAM_PEER_IP_SAN":                 names(downstreamPeer, ipSANs),
	"DOWNSTREAM_PEER_EMAIL_SAN":              names(downstreamPeer, emailSANs),
	"DOWNSTREAM_PEER_OTHERNAME_SAN":          names(downstreamPeer, otherNameSANs),
	"DOWNSTREAM_LOCAL_URI_SAN":               names(downstreamOwn, uriSANs),
	"DOWNSTREAM_LOCAL_DNS_SAN":               names(downstreamOwn, dnsSANs),
	"DOWNSTREAM_LOCAL_IP_SAN":                names(downstreamOwn, ipSANs),
	"DOWNSTREAM_LOCAL_EMAIL_SAN":             names(downstreamOwn, emailSANs),
	"DOWNSTREAM_LOCAL_OTHERNAME_SAN":         names(downstreamOwn, otherNameSANs),
	"DOWNSTREAM_LOCAL_SUBJECT":               certText(downstreamOwn, certSubject),
	"DOWNSTREAM_PEER_SUBJECT":                certText(downstreamPeer, certSubject),
	"DOWNSTREAM_PEER_ISSUER":                 certText(downstreamPeer, certIssuer),
	"DOWNSTREAM_PEER_SERIAL":                 certText(downstreamPeer, certSerial),
	"DOWNSTREAM_PEER_FINGERPRINT_1":          certText(downstreamPeer, certSHA1),
	"DOWNSTREAM_PEER_FINGERPRINT_256":        certText(downstreamPeer, certSHA256),
	"DOWNSTREAM_PEER_CERT":                   certText(downstreamPeer, certPEM),
	"DOWNSTREAM_PEER_ISSUER_SERIAL":          certText(downstreamPeerIssuer, certSerial),
	"DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256": certText(downstreamPeerIssuer, certSHA256),
	"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1":   chainText(certSHA1),
	"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256": chainText(certSHA256),
	"DOWNSTREAM_PEER_CHAIN_SERIALS":          chainText(certSerial),

	"UPSTREAM_TLS_VERSION":    tlsText(upstreamTLS, tlsVersion),
	"UPSTREAM_TLS_CIPHER":     tlsText(upstreamTLS, tlsCipher),
	"UPSTREAM_TLS_SESSION_ID": tlsText(upstreamTLS, tlsSessionID),
	"UPSTREAM_TLS_GROUP":      tlsText(upstreamTLS, tlsGroup),
	"UPSTREAM_SERVER_NAME":    tlsText(upstreamTLS, tlsServerName),
	"UPSTREAM_PEER_URI_SAN":   names(upstreamPeer, uriSANs),
	"UPSTREAM_PEER_DNS_SAN":   names(upstreamPeer, dnsSANs),
	"UPSTREAM_PEER_IP_SAN":    names(upstreamPeer, ipSANs),
	"UPSTREAM_LOCAL_URI_SAN":  names(upstreamOwn, uriSANs),
	"UPSTREAM_LOCAL_DNS_SAN":  names(upstreamOwn, dnsSANs),
	"UPSTREAM_LOCAL_IP_SAN":   names(upstreamOwn, ipSANs),
	"UPSTREAM_PEER_SUBJECT":   certText(upstreamPeer, certSubject),
	"UPSTREAM_PEER_ISSUER":    certText(upstreamPeer, certIssuer),
	"UPSTREAM_PEER_CERT":      certText(upstreamPeer, certPEM),
}

// parameterOperators may take a parameter, a length, or both, or are read when the format is compiled.
var parameterOperators = map[string]spec{
	"REQ":              {needsParam: true, compile: headerOf(requestHeaders)},
	"REQUEST_HEADER":   {needsParam: true, compile: headerOf(requestHeaders)},
	"RESP":             {needsParam: true, compile: headerOf(responseHeaders)},
	"RESPONSE_HEADER":  {needsParam: true, compile: headerOf(responseHeaders)},
	"TRAILER":          {needsParam: true, compile: headerOf(responseTrailers)},
	"RESPONSE_TRAILER": {needsParam: true, compile: headerOf(responseTrailers)},

	"PATH":                  {compile: compilePath},
	"QUERY_PARAM":           {needsParam: true, compile: compileQueryParam},
	"QUERY_PARAMS":          {compile: compileQueryParams},
	"REQUESTED_SERVER_NAME": {noLength: true, compile: compileRequestedServerName},
	"XFCC_VALUE":            {uncut: true, compile: compileXFCC},

	"RESPONSE_CODE_DETAILS": {noLength: true, compile: compileResponseCodeDetails},
	"GRPC_STATUS":           {noLength: true, compile: compileGRPCStatus},

	"START_TIME":       {noLength: true, compile: timeOf(startTime, utc)},
	"START_TIME_LOCAL": {noLength: true, compile: timeOf(startTime, local)},
	"EMIT_TIME":        {noLength: true, compile: timeOf(emitTime, utc)},
	"EMIT_TIME_LOCAL":  {noLength: true, compile: timeOf(emitTime, local)},
	"COMMON_DURATION":  {needsParam: true, noLength: true, compile: compileCommonDuration},

	"DOWNSTREAM_PEER_CERT_V_START": {noLength: true, compile: timeOf(validFrom(downstreamPeer), utc)},
	"DOWNSTREAM_PEER_CERT_V_END":   {noLength: true, compile: timeOf(validTo(downstreamPeer), utc)},
	"UPSTREAM_PEER_CERT_V_START":   {noLength: true, compile: timeOf(validFrom(upstreamPeer), utc)},
	"UPSTREAM_PEER_CERT_V_END":     {noLength: true, compile: timeOf(validTo(upstreamPeer), utc)},

	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":        {noLength: true, compile: bareAddress(downstreamRemote)},
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":         {noLength: true, compile: bareAddress(downstreamLocal)},
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": {noLength: true, compile: bareAddress(downstreamDirectRemote)},
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT":  {noLength: true, compile: bareAddress(downstreamDirectLocal)},
	"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":          {noLength: true, compile: bareAddress(upstreamRemote)},
	"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":           {noLength: true, compile: bareAddress(upstreamLocal)},

	"METADATA":              {compile: compileMetadata},
	"DYNAMIC_METADATA":      {needsParam: true, compile: metadataOf(dynamicMetadata)},
	"CLUSTER_METADATA":      {needsParam: true, noLength: true, compile: metadataOf(clusterMetadata)},
	"UPSTREAM_METADATA":     {needsParam: true, noLength: true, compile: metadataOf(hostMetadata)},
	"FILTER_STATE":          {compile: filterStateOf(streamState)},
	"UPSTREAM_FILTER_STATE": {compile: filterStateOf(upstreamState)},

	"ENVIRONMENT": {needsParam: true, compile: compileEnvironment},
	"HOSTNAME":    {plain: true, compile: compileHostname},
}

// parseHeaderNames reads "NAME" or "NAME?OTHER", in lower case.
func parseHeaderNames(param string) (name, other string, err error) {
	name, other, _ = cutAlternative(param)
	if alternatives(param) > 1 {
		return "", "", fmt.Errorf("More than 1 alternative header specified in token: %s", param)
	}
	if !validHeaderName(name) || !validHeaderName(other) {
		return "", "", errors.New("Invalid header configuration. Format string contains invalid characters.")
	}
	return lower(name), lower(other), nil
}
