package admin

import (
	"html"
	"maps"
	"slices"
	"strings"
)

// serveHelp is /help.
func (a *Admin) serveHelp(_ *request, r *reply) { r.text(a.helpText()) }

// helpText lists the endpoints: Envoy's list, byte for byte, and after it ours.
func (a *Admin) helpText() string {
	var b strings.Builder
	b.WriteString("admin commands are:\n")
	ours := false
	for _, e := range table() {
		if e.ours && !ours {
			ours = true
			b.WriteString("commands of pillion alone are:\n")
		}
		b.WriteString("  " + e.path)
		if e.post {
			b.WriteString(" (POST)")
		}
		b.WriteString(": " + e.help + "\n")
		for _, p := range e.params {
			b.WriteString("      " + p.name + ": " + p.help + "\n")
		}
	}
	return b.String()
}

// serveHome is /: a page of all endpoints. It is plain HTML of our own.
func (a *Admin) serveHome(_ *request, r *reply) {
	r.contentType = textHTML
	var b strings.Builder
	b.WriteString(pageHead("pillion admin"))
	b.WriteString("<h1>pillion admin</h1>\n<p>" + html.EscapeString(a.o.Version) + "</p>\n<table>\n")
	for _, e := range table() {
		b.WriteString("<tr><td>" + e.form() + "</td><td>" + html.EscapeString(e.help) + "</td></tr>\n")
	}
	b.WriteString("</table>\n" + pageFoot)
	r.text(b.String())
}

// form is what asks for an endpoint: a link, or a form of its parameters.
func (e *endpoint) form() string {
	path := html.EscapeString(e.path)
	if !e.post && len(e.params) == 0 {
		return `<a href="` + path + `">` + path + "</a>"
	}
	method := "get"
	if e.post {
		method = "post"
	}
	var b strings.Builder
	b.WriteString(`<form action="` + path + `" method="` + method + `"><button>` + path + "</button>")
	for _, p := range e.params {
		b.WriteString(e.input(p))
	}
	b.WriteString("</form>")
	return b.String()
}

// input is one parameter in a form. One that counts by being there is a check box.
func (e *endpoint) input(p endpointParam) string {
	name, help := html.EscapeString(p.name), html.EscapeString(p.help)
	if _, choices, ok := strings.Cut(p.help, "One of ("); ok {
		var b strings.Builder
		b.WriteString(` <label title="` + help + `">` + name + ` <select name="` + name + `">`)
		for choice := range strings.SplitSeq(strings.TrimSuffix(choices, ")"), ", ") {
			b.WriteString("<option>" + html.EscapeString(choice) + "</option>")
		}
		b.WriteString("</select></label>")
		return b.String()
	}
	kind := "text"
	switch p.name {
	case "usedonly", "text_readouts", "include_eds", "invert_filter", "graceful", "skip_exit", "inboundonly":
		kind = "checkbox"
	}
	return ` <label title="` + help + `">` + name + ` <input type="` + kind + `" name="` + name + `"></label>`
}

const pageFoot = "</body>\n</html>\n"

func pageHead(title string) string {
	return "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n<title>" + html.EscapeString(title) + "</title>\n" +
		"<style>body{font-family:sans-serif}td{padding:.2em .6em;vertical-align:top}td form{margin:0}pre{font-size:smaller}</style>\n</head>\n<body>\n"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
