package admin

import (
	"net/http"
	"strings"

	"github.com/pillion-proxy/pillion/dataplane/logging"
)

// serveLogging is /logging.
func (a *Admin) serveLogging(q *request, r *reply) {
	if a.o.Logs == nil {
		r.fail(http.StatusServiceUnavailable, "logging is not configured\n")
		return
	}
	if why := a.setLevels(q); why != "" {
		r.code = http.StatusBadRequest
		r.text("error: " + why + "\n\n" +
			"usage: /logging?<name>=<level> (change single level)\n" +
			"usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n" +
			"usage: /logging?level=<level> (change all levels)\n" +
			"usage: /logging?group=<group_name>:<level> (change group of loggers)\n" +
			"levels: " + strings.Join(logging.Levels(), " ") + " \n")
	}
	var b strings.Builder
	b.WriteString("active loggers:\n")
	for name, level := range a.o.Logs.All() {
		b.WriteString("  " + name + ": " + logging.LevelName(level) + "\n")
	}
	r.text(b.String() + "\n")
}

const (
	unknownLevel  = "unknown logger level"
	unknownLogger = "unknown logger name"
)

// setLevels changes what the query asks, all of it or nothing; it tells what is wrong with it.
func (a *Admin) setLevels(q *request) (why string) {
	if len(q.query) == 0 {
		return ""
	}
	p := q.query[0]
	for _, more := range q.query[1:] {
		if more.name != p.name {
			return "invalid number of parameters"
		}
	}
	switch {
	case p.value == "":
		return ""
	case p.name == "paths":
		return a.setPaths(p.value)
	case p.name == "group":
		return "group parameter requires fine-grain logging to be enabled"
	}
	level, ok := logging.ParseLevel(p.value)
	switch {
	case !ok:
		return unknownLevel
	case p.name == "level":
		a.o.Logs.SetAll(level)
	case !a.o.Logs.SetLevel(p.name, level):
		return unknownLogger
	}
	return ""
}

// setPaths is ?paths=NAME:LEVEL,….
func (a *Admin) setPaths(paths string) (why string) {
	var all []logging.ComponentLevel
	for each := range strings.SplitSeq(paths, ",") {
		if each == "" {
			continue
		}
		name, value, _ := strings.Cut(each, ":")
		if name == "" || value == "" {
			return "empty logger name or empty logger level"
		}
		level, ok := logging.ParseLevel(value)
		if !ok {
			return unknownLevel
		}
		if !logging.Known(name) {
			return unknownLogger
		}
		all = append(all, logging.ComponentLevel{Component: name, Level: level})
	}
	for _, c := range all {
		a.o.Logs.SetLevel(c.Component, c.Level)
	}
	return ""
}
