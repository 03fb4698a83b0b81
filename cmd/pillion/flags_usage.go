package main

import (
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// EnvoyVersion is the version of Envoy whose place is taken.
	EnvoyVersion = "1.40.0"
	// BuildType is what Envoy's version says after its number: "SSL/TLS library" last.
	BuildType = "Clean/RELEASE/BoringSSL"

	usageWidth = 75
)

// revision is the commit that was built: 40 hexadecimal digits.
func revision() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" && len(s.Value) == 40 {
				return s.Value
			}
		}
	}
	return strings.Repeat("0", 40)
}

// serverVersion is the version as --version and /server_info have it.
func serverVersion() string { return revision() + "/" + EnvoyVersion + "/" + BuildType }

func flagNumber(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// usage is the brief usage.
func (p *flagParser) usage() string {
	var b strings.Builder
	b.WriteString(p.program + " ")
	for _, o := range p.options {
		b.WriteString(" [" + o.word() + "]")
		if o.many != nil {
			b.WriteString(" ...")
		}
	}
	b.WriteString(" [--] [--version] [-h]")
	return wrapUsage(b.String(), 3, min(len(p.program)+2, usageWidth/2))
}

// word is the option in the brief usage.
func (o *flagOption) word() string {
	name := "--" + o.name
	if o.short != "" {
		name = "-" + o.short
	}
	return name + o.value()
}

// value is how the usage names what the option takes.
func (o *flagOption) value() string {
	switch {
	case o.toggle != nil:
		return ""
	case o.number != nil:
		return " <uint32_t>"
	}
	return " <string>"
}

// help is the whole of --help.
func (p *flagParser) help() string {
	var b strings.Builder
	b.WriteString("\nUSAGE: \n\n" + p.usage() + "\n\nWhere: \n\n")
	entry := func(what, text string) {
		b.WriteString(wrapUsage(what, 3, 3) + wrapUsage(text, 5, 0) + "\n")
	}
	for _, o := range p.options {
		what := "--" + o.name + o.value()
		if o.short != "" {
			what = "-" + o.short + o.value() + ",  " + what
		}
		if o.many != nil {
			what += "  (accepted multiple times)"
		}
		entry(what, o.help)
	}
	entry("--,  --ignore_rest", "Ignores the rest of the labeled arguments following this flag.")
	entry("--version", "Displays version information and exits.")
	entry("-h,  --help", "Displays usage information and exits.")
	b.WriteString("\n" + wrapUsage("envoy", 3, 0) + "\n")
	return b.String()
}

// wrapUsage breaks text into lines of at most usageWidth, before a space, a comma or a bar. The first line is
// indented by indent, the others by hang more. A newline makes a new paragraph.
func wrapUsage(text string, indent, hang int) string {
	if len(text) <= usageWidth-indent {
		return strings.Repeat(" ", indent) + text + "\n"
	}
	var b strings.Builder
	for text != "" {
		room := usageWidth - indent
		n := len(text)
		if n >= room { // a last line that just fits is broken as well
			n = strings.LastIndexAny(text[:min(room+1, n)], " ,|")
			if n <= 0 {
				n = room
			}
		}
		if i := strings.IndexByte(text[:n], '\n'); i >= 0 {
			n = i + 1
		}
		b.WriteString(strings.Repeat(" ", indent) + text[:n] + "\n")
		text = strings.TrimLeft(text[n:], " ")
		indent, hang = indent+hang, 0
	}
	return b.String()
}
