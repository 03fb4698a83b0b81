package formatter

import (
	"fmt"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// compileXFCC compiles %XFCC_VALUE(key)%: the value of key in x-forwarded-client-cert, of the first
// element that has it. A length is taken and means nothing, as in Envoy.
func compileXFCC(key string) (Operator, error) {
	switch strings.ToLower(key) {
	case "":
		return nil, fmt.Errorf("XFCC_VALUE command requires a subcommand")
	case "by", "hash", "cert", "chain", "subject", "uri", "dns":
	default:
		return nil, fmt.Errorf("XFCC_VALUE command does not support subcommand: %s", key)
	}
	return func(dst []byte, c *Context) ([]byte, Kind) {
		if c.Request == nil {
			return dst, Missing
		}
		if !c.Request.Has(header.XForwardedClientCert) {
			return dst, Missing
		}
		fields := c.Request.Fields()
		for i := range fields {
			if fields[i].ID != header.XForwardedClientCert {
				continue
			}
			if value, ok := findXFCC(fields[i].Value, key); ok {
				return appendUnquoted(dst, value), String
			}
		}
		return dst, Missing
	}, nil
}

// findXFCC finds key in a header value of the form `a=b;c="d",a=e`. Separators inside quotes are none.
// A header whose quotes do not end has no values.
func findXFCC(xfcc, key string) (string, bool) {
	found, has := "", false
	start, quoted := 0, false
	for i := 0; i <= len(xfcc); i++ {
		if i < len(xfcc) {
			switch b := xfcc[i]; {
			case quoted && b == '\\':
				i++
				continue
			case b == '"':
				quoted = !quoted
				continue
			case quoted || b != ';' && b != ',':
				continue
			}
		}
		name, value, ok := strings.Cut(xfcc[min(start, len(xfcc)):min(i, len(xfcc))], "=")
		if ok && !has && strings.EqualFold(strings.TrimSpace(name), key) {
			found, has = strings.TrimSpace(value), true
		}
		start = i + 1
	}
	return found, has && !quoted
}

// appendUnquoted appends s without the quotes around it and the backslashes in it.
func appendUnquoted(dst []byte, s string) []byte {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return append(dst, s...)
	}
	for s = s[1 : len(s)-1]; s != ""; s = s[1:] {
		if s[0] == '\\' && len(s) > 1 {
			s = s[1:]
		}
		dst = append(dst, s[0])
	}
	return dst
}
