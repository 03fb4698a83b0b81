package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/pillion-proxy/pillion/dataplane/network"
	"github.com/pillion-proxy/pillion/dataplane/secret"
)

// reason is a reason of BoringSSL's SSL library: its number, and its name.
type reason struct {
	code int
	name string
}

// sslLibrary is the library's number in BoringSSL's packed error codes.
const sslLibrary = 16 << 24

var (
	reasonVerify       = reason{125, "CERTIFICATE_VERIFY_FAILED"}
	reasonNoPeer       = reason{192, "PEER_DID_NOT_RETURN_A_CERTIFICATE"}
	reasonKeyUsage     = reason{302, "KEY_USAGE_BIT_INCORRECT"}
	reasonRejected     = reason{133, "CONNECTION_REJECTED"}
	reasonHTTP         = reason{156, "HTTP_REQUEST"}
	reasonHTTPSProxy   = reason{155, "HTTPS_PROXY_REQUEST"}
	reasonWrongVersion = reason{247, "WRONG_VERSION_NUMBER"}
	reasonTooLong      = reason{146, "ENCRYPTED_LENGTH_TOO_LONG"}
	reasonProtocol     = reason{240, "UNSUPPORTED_PROTOCOL"}
	reasonHello        = reason{131, "CLIENTHELLO_PARSE_FAILED"}
	reasonOnHello      = reason{154, "HANDSHAKE_FAILURE_ON_CLIENT_HELLO"}
	reasonInternal     = reason{68, "INTERNAL_ERROR"}
)

// byText tells crypto/tls's errors, which have no types, apart by how they begin; immutable.
var byText = [...]struct {
	prefix string
	reason
}{
	{"tls: client didn't provide a certificate", reasonNoPeer},
	{"tls: client offered only unsupported versions", reasonProtocol},
	{"tls: server selected unsupported protocol version", reasonProtocol},
	{"tls: no supported versions satisfy MinVersion and MaxVersion", reason{280, "NO_SUPPORTED_VERSIONS_ENABLED"}},
	{"tls: no cipher suite supported by both client and server", reason{184, "NO_SHARED_CIPHER"}},
	{"tls: no key exchanges supported by both client and server", reason{266, "NO_SHARED_GROUP"}},
	{"tls: no ECDHE curve supported by both client and server", reason{266, "NO_SHARED_GROUP"}},
	{"tls: peer doesn't support any of the certificate's signature algorithms", reason{253, "NO_COMMON_SIGNATURE_ALGORITHMS"}},
	{"tls: client used the legacy version field to negotiate TLS 1.3", reasonProtocol},
	{"tls: client using inappropriate protocol fallback", reason{157, "INAPPROPRIATE_FALLBACK"}},
	{"tls: invalid signature by the", reason{114, "BAD_SIGNATURE"}},
	{"tls: invalid server finished hash", reason{142, "DIGEST_CHECK_FAILED"}},
	{"tls: invalid client finished hash", reason{142, "DIGEST_CHECK_FAILED"}},
	{"tls: client's Finished message is incorrect", reason{142, "DIGEST_CHECK_FAILED"}},
	{"tls: server's Finished message was incorrect", reason{142, "DIGEST_CHECK_FAILED"}},
	{"tls: invalid PSK binder", reason{142, "DIGEST_CHECK_FAILED"}},
	{"tls: server chose an unconfigured cipher suite", reason{242, "WRONG_CIPHER_RETURNED"}},
	{"tls: server selected unsupported group", reason{243, "WRONG_CURVE"}},
	{"tls: failed to parse c", reason{272, "CANNOT_PARSE_LEAF_CERT"}},
	{"tls: received unexpected handshake message", reason{223, "UNEXPECTED_MESSAGE"}},
}

// errKeyUsage is a certificate whose keyUsage does not allow how it is used; errStaple a certificate
// that may not be served without a staple.
var (
	errKeyUsage = errors.New("key usage bit incorrect")
	errStaple   = errors.New("OCSP staple required")
)

// failureText is %DOWNSTREAM_TRANSPORT_FAILURE_REASON% for a handshake that err ended: BoringSSL's
// error in Envoy's form, or "" where the connection just ended. early tells that the peer's first
// message had not been understood yet, server which side we are.
func failureText(err error, server, early bool) string {
	var verify *secret.VerifyError
	var header tls.RecordHeaderError
	var op *net.OpError
	switch {
	case ended(err):
		return ""
	case errors.As(err, &verify):
		return sslError(reasonVerify, verify.Error())
	case errors.Is(err, errKeyUsage):
		return sslError(reasonKeyUsage, "")
	case errors.Is(err, errStaple):
		return sslError(reasonRejected, "")
	case errors.As(err, &header):
		return sslError(recordReason(&header, server), "")
	case errors.Is(err, syscall.ECONNRESET):
		return systemError(syscall.ECONNRESET, "Connection reset by peer")
	case errors.Is(err, syscall.EPIPE):
		return systemError(syscall.EPIPE, "Broken pipe")
	case errors.As(err, &op) && op.Op == "remote error":
		return remoteAlert(op.Err, server, early)
	case errors.As(err, &op) && op.Op == "local error":
		if early && server {
			return sslError(reasonHello, "")
		}
		return sslError(localReason(op.Err), "")
	}
	text := err.Error()
	for i := range byText {
		if strings.HasPrefix(text, byText[i].prefix) {
			if byText[i].reason == reasonNoPeer {
				return sslError(reasonNoPeer, "peer did not provide required client certificate")
			}
			return sslError(byText[i].reason, "")
		}
	}
	return sslError(reasonInternal, text)
}

// ended tells whether the connection just ended, or its time.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		network.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func sslError(r reason, extra string) string {
	if extra != "" {
		extra = ":" + extra
	}
	return "TLS_error:|" + r.packed() + extra + ":TLS_error_end"
}

// packed is one error as BoringSSL's queue has it.
func (r reason) packed() string {
	return strconv.Itoa(sslLibrary+r.code) + ":SSL routines:OPENSSL_internal:" + r.name
}

func systemError(n syscall.Errno, text string) string {
	return "TLS_error:|" + strconv.Itoa(2<<24+int(n)) + ":system library:OPENSSL_internal:" + text + ":TLS_error_end"
}

// recordReason tells what was sent instead of TLS.
func recordReason(e *tls.RecordHeaderError, server bool) reason {
	if strings.HasPrefix(e.Msg, "oversized record") {
		return reasonTooLong
	}
	if server {
		switch first := string(e.RecordHeader[:]); {
		case first == "CONNE":
			return reasonHTTPSProxy
		case strings.HasPrefix(first, "GET "), first == "POST ", first == "HEAD ", first == "PUT /", first == "PUT h":
			return reasonHTTP
		}
	}
	return reasonWrongVersion
}

// alertCode is the number of an alert, which crypto/tls keeps to itself.
func alertCode(err error) int {
	text := err.Error()
	for n := range 256 {
		if tls.AlertError(n).Error() == text {
			return n
		}
	}
	return 80 // internal_error
}

func remoteAlert(err error, server, early bool) string {
	n := alertCode(err)
	r := reason{1000 + n, alertName(n)}
	if n == 40 && early && !server {
		return "TLS_error:|" + r.packed() + "|" + reasonOnHello.packed() + ":TLS_error_end"
	}
	return sslError(r, "")
}

// alertNames are BoringSSL's names of alerts that were received; immutable.
var alertNames = [...]string{
	0:   "SSLV3_ALERT_CLOSE_NOTIFY",
	10:  "SSLV3_ALERT_UNEXPECTED_MESSAGE",
	20:  "SSLV3_ALERT_BAD_RECORD_MAC",
	21:  "TLSV1_ALERT_DECRYPTION_FAILED",
	22:  "TLSV1_ALERT_RECORD_OVERFLOW",
	30:  "SSLV3_ALERT_DECOMPRESSION_FAILURE",
	40:  "SSLV3_ALERT_HANDSHAKE_FAILURE",
	41:  "SSLV3_ALERT_NO_CERTIFICATE",
	42:  "SSLV3_ALERT_BAD_CERTIFICATE",
	43:  "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
	44:  "SSLV3_ALERT_CERTIFICATE_REVOKED",
	45:  "SSLV3_ALERT_CERTIFICATE_EXPIRED",
	46:  "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
	47:  "SSLV3_ALERT_ILLEGAL_PARAMETER",
	48:  "TLSV1_ALERT_UNKNOWN_CA",
	49:  "TLSV1_ALERT_ACCESS_DENIED",
	50:  "TLSV1_ALERT_DECODE_ERROR",
	51:  "TLSV1_ALERT_DECRYPT_ERROR",
	60:  "TLSV1_ALERT_EXPORT_RESTRICTION",
	70:  "TLSV1_ALERT_PROTOCOL_VERSION",
	71:  "TLSV1_ALERT_INSUFFICIENT_SECURITY",
	80:  "TLSV1_ALERT_INTERNAL_ERROR",
	86:  "TLSV1_ALERT_INAPPROPRIATE_FALLBACK",
	90:  "TLSV1_ALERT_USER_CANCELLED",
	100: "TLSV1_ALERT_NO_RENEGOTIATION",
	110: "TLSV1_ALERT_UNSUPPORTED_EXTENSION",
	111: "TLSV1_ALERT_CERTIFICATE_UNOBTAINABLE",
	112: "TLSV1_ALERT_UNRECOGNIZED_NAME",
	113: "TLSV1_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE",
	114: "TLSV1_ALERT_BAD_CERTIFICATE_HASH_VALUE",
	115: "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY",
	116: "TLSV1_ALERT_CERTIFICATE_REQUIRED",
	120: "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
}

func alertName(n int) string {
	if n < len(alertNames) && alertNames[n] != "" {
		return alertNames[n]
	}
	return "UNKNOWN_ALERT_TYPE"
}

// localReason is why we sent an alert that crypto/tls names alone.
func localReason(err error) reason {
	switch alertCode(err) {
	case 10:
		return reason{223, "UNEXPECTED_MESSAGE"}
	case 20:
		return reason{139, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"}
	case 22:
		return reasonTooLong
	case 47, 50:
		return reason{137, "DECODE_ERROR"}
	}
	return reasonInternal
}
