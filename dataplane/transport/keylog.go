package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-proxy/pillion/dataplane/matcher"
)

// keyLogConfig is a TlsKeyLog: the file, and whose keys go there; nil ranges are everybody's.
type keyLogConfig struct {
	path          string
	local, remote *matcher.CIDRs
}

func compileKeyLog(m *tlspb.TlsKeyLog) (*keyLogConfig, error) {
	k := &keyLogConfig{path: m.GetPath()}
	var err error
	if len(m.GetLocalAddressRange()) > 0 {
		if k.local, err = matcher.CompileCIDRs(m.GetLocalAddressRange()); err != nil {
			return nil, err
		}
	}
	if len(m.GetRemoteAddressRange()) > 0 {
		if k.remote, err = matcher.CompileCIDRs(m.GetRemoteAddressRange()); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// open opens the file; a nil configuration is no log.
func (k *keyLogConfig) open() (*keyLog, error) {
	if k == nil {
		return nil, nil //nolint:nilnil // no key log
	}
	f, err := os.OpenFile(k.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		var n syscall.Errno
		if errors.As(err, &n) && n == syscall.ENOENT {
			return nil, fmt.Errorf("unable to open file '%s': No such file or directory", k.path)
		}
		return nil, fmt.Errorf("unable to open file '%s': %w", k.path, err)
	}
	return &keyLog{config: k, file: f}, nil
}

// keyLog writes the keys of sessions in NSS's format. crypto/tls writes each line in one call.
type keyLog struct {
	config *keyLogConfig
	file   *os.File
}

// Write appends a line.
func (k *keyLog) Write(line []byte) (int, error) {
	// A file that cannot be written must not fail the handshake.
	_, _ = k.file.Write(line)
	return len(line), nil
}

func (k *keyLog) close() {
	if k != nil {
		_ = k.file.Close()
	}
}

// wants tells whether a connection's keys are to be logged.
func (k *keyLog) wants(c net.Conn) bool {
	return k != nil && in(k.config.local, c.LocalAddr()) && in(k.config.remote, c.RemoteAddr())
}

func in(r *matcher.CIDRs, a net.Addr) bool {
	if r == nil {
		return true
	}
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip, ok := netip.AddrFromSlice(t.IP)
	return ok && r.Contains(ip)
}
