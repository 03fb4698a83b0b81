package secret

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlspb "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// inline is how Envoy calls a source that is no file, in errors and in /certs.
const inline = "<inline>"

// source is a data source that has been read.
type source struct {
	data []byte
	path string // the file's name, inline, or "" for nothing
}

// maxFile bounds what is read of a file: a certificate bundle of thousands fits.
const maxFile = 16 << 20

// readSource reads a data source. A file or an environment variable that is not there is an empty source
// with its path.
func readSource(d *corepb.DataSource) (source, error) {
	s := source{}
	switch k := d.GetSpecifier().(type) {
	case *corepb.DataSource_InlineBytes:
		s.data = k.InlineBytes
	case *corepb.DataSource_InlineString:
		s.data = []byte(k.InlineString)
	case *corepb.DataSource_EnvironmentVariable:
		s.data = []byte(os.Getenv(k.EnvironmentVariable))
	case *corepb.DataSource_Filename:
		s.path = k.Filename
		data, err := readFile(k.Filename)
		if err != nil {
			return s, err
		}
		s.data = data
		return s, nil
	}
	if len(s.data) > 0 {
		s.path = inline
	}
	return s, nil
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("Invalid path: %s", name)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("file %s is larger than %d bytes", name, maxFile)
	}
	return os.ReadFile(name)
}

// readRequired is readSource for what must not be empty.
func readRequired(d *corepb.DataSource) (source, error) {
	s, err := readSource(d)
	if err == nil && len(s.data) == 0 {
		err = errors.New("DataSource cannot be empty")
	}
	return s, err
}

// readOptional is readSource for what may be absent: a missing file is empty.
func readOptional(d *corepb.DataSource) (source, error) {
	s, err := readSource(d)
	if err != nil {
		if _, statErr := os.Stat(s.path); errors.Is(statErr, os.ErrNotExist) {
			return s, nil
		}
	}
	return s, err
}

// watch is a directory whose changes reload a secret.
type watch struct {
	dir string
	// modify has changes of a file's content count as well, not only files that are moved there.
	modify bool
}

func directory(w *corepb.WatchedDirectory) watch {
	return watch{dir: filepath.Clean(w.GetPath()), modify: w.GetWatchModify()}
}

// fileWatches is the watched_directory if there is one and any source is a file, else the directories
// of the files.
func fileWatches(dir *corepb.WatchedDirectory, sources ...*corepb.DataSource) []watch {
	var out []watch
	for _, d := range sources {
		name := d.GetFilename()
		if name == "" {
			continue
		}
		if dir != nil {
			return []watch{directory(dir)}
		}
		w := watch{dir: filepath.Dir(name)}
		if d.GetWatchedDirectory() != nil {
			w = directory(d.GetWatchedDirectory())
		}
		out = append(out, w)
	}
	return out
}

func certificateWatches(c *tlspb.TlsCertificate) []watch {
	return fileWatches(c.GetWatchedDirectory(), c.GetCertificateChain(), c.GetPrivateKey(), c.GetOcspStaple())
}

func validationWatches(c *tlspb.CertificateValidationContext) []watch {
	w := fileWatches(c.GetWatchedDirectory(), c.GetTrustedCa(), c.GetCrl())
	m := &tlspb.SPIFFECertValidatorConfig{}
	if a := c.GetCustomValidatorConfig().GetTypedConfig(); a != nil && a.UnmarshalTo(m) == nil {
		w = append(w, fileWatches(nil, m.GetTrustBundles())...)
	}
	return w
}

func genericWatches(g *tlspb.GenericSecret) []watch {
	sources := []*corepb.DataSource{g.GetSecret()}
	for _, d := range g.GetSecrets() {
		sources = append(sources, d)
	}
	return fileWatches(nil, sources...)
}

// Generic is a generic_secret: a value, or several by name.
type Generic struct {
	Value  []byte
	Values map[string][]byte
}

func compileGeneric(m *tlspb.GenericSecret) (*Generic, error) {
	g := &Generic{}
	if m.GetSecret() != nil {
		s, err := readSource(m.GetSecret())
		if err != nil {
			return nil, err
		}
		g.Value = s.data
	}
	for name, d := range m.GetSecrets() {
		s, err := readSource(d)
		if err != nil {
			return nil, err
		}
		if g.Values == nil {
			g.Values = map[string][]byte{}
		}
		g.Values[name] = s.data
	}
	return g, nil
}

// TicketKeys are session ticket keys; the first one encrypts.
type TicketKeys struct{ Keys [][80]byte }

// CompileTicketKeys compiles session_ticket_keys.
func CompileTicketKeys(m *tlspb.TlsSessionTicketKeys) (*TicketKeys, error) {
	t := &TicketKeys{}
	for _, d := range m.GetKeys() {
		s, err := readRequired(d)
		if err != nil {
			return nil, err
		}
		if len(s.data) != 80 {
			return nil, fmt.Errorf("Incorrect TLS session ticket key length. Length %d, expected length 80.", len(s.data))
		}
		t.Keys = append(t.Keys, [80]byte(s.data))
	}
	return t, nil
}
