package hcm

import (
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// The answers are Envoy 1.40's with normalize_path.
func TestNormalizePathIsEnvoys(t *testing.T) {
	for in, want := range map[string]string{
		"/a/../b": "/b", "/a/./b": "/a/b", "/a//b": "/a//b", "/%41%62": "/Ab", "/a%2e%2e/b": "/a../b", "/a/%2e%2e/b": "/b",
		"/a\\..\\b": "/b", "/a\\b": "/a/b", "/a%5cb": "/a%5cb", "/a%2fb": "/a%2fb", "/%zz": "/%zz", "/a%": "/a%", "/a?x/../y": "/a?x/../y",
		"/../../etc": "/etc", "/a/..": "/", "/a/.": "/a/", "/a/b/...": "/a/b/...", "/a/..;/b": "/b", "/a|b": "/a%7Cb", "/a\"b": "/a%22b",
		"/a<b>": "/a%3Cb%3E", "/a{b}": "/a%7Bb%7D", "/a^b`": "/a%5Eb%60", "/a[b]": "/a[b]", "/%7e%2d%5f%30": "/~-_0", "/%c3%a9": "/%c3%a9",
		"/a/b/%2e./c": "/a/c", "/a;x=1/b": "/a;x=1/b", "/.": "/", "/..": "/", "/a%2fb/../c": "/c", "//a": "//a", "/a/b/../../..//c": "//c",
		"/%2e%2e%2fetc": "/..%2fetc", "/A%4a?q=%41%2e": "/AJ?q=%41%2e", "/a/;/b": "/a/;/b", "/a/.;/b": "/a/b", "/a/..;x=1/b": "/b",
		"/a/...;/b": "/a/...;/b", "/a/..;": "/", "/a/%2e%2e;/b": "/a/..;/b", "/a\\..;/b": "/a/..;/b", "/a/..?x": "/?x", "/x/..//y": "//y",
		"/a%00b": "400", "/a#b": "400",
	} {
		var h header.Map
		h.Path = in
		o := pathOptions{normalize: true}
		got := "400"
		if o.apply(&h, nil) == pathOK {
			got = h.Path
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestEscapedSlashes(t *testing.T) {
	for _, tt := range []struct {
		o       pathOptions
		in, out string
		want    pathVerdict
	}{
		{pathOptions{slashes: slashesReject}, "/a%2Fb", "/a%2Fb", pathReject},
		{pathOptions{slashes: slashesUnescapeAndRedirect}, "/a%2fb?x", "/a/b?x", pathRedirect},
		{pathOptions{slashes: slashesUnescapeAndForward}, "/a%5cb%20", "/a\\b%20", pathOK},
		{pathOptions{slashes: slashesUnescapeAndForward, normalize: true}, "/a%2f..%2fb", "/b", pathOK},
		{pathOptions{mergeSlashes: true}, "//a///b//?x//y", "/a/b/?x//y", pathOK},
	} {
		var h header.Map
		h.Path = tt.in
		if got := tt.o.apply(&h, nil); got != tt.want || h.Path != tt.out {
			t.Errorf("%s: %v %s", tt.in, got, h.Path)
		}
	}
}
