package envoytest

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Decoded returns a body as it was before its content-encoding, if it has one: compressors may differ in
// what they write, but not in what they mean.
func Decoded(headers []string, body string) string {
	encoding := ""
	for _, h := range headers {
		if v, ok := strings.CutPrefix(h, "content-encoding: "); ok {
			encoding = v
		}
	}
	var r io.Reader
	var err error
	switch in := strings.NewReader(body); encoding {
	case "gzip":
		r, err = gzip.NewReader(in)
	case "br":
		r = brotli.NewReader(in)
	case "zstd":
		r, err = zstd.NewReader(in)
	default:
		return body
	}
	if err != nil {
		return body
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return body
	}
	return "decoded: " + string(b)
}

// Encoded is body with a content-encoding; "" is none.
func Encoded(encoding, body string) string {
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "br":
		w = brotli.NewWriter(&out)
	case "zstd":
		w, _ = zstd.NewWriter(&out)
	default:
		return body
	}
	_, _ = io.WriteString(w, body)
	_ = w.Close()
	return out.String()
}
