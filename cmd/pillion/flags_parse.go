package main

import (
	"strconv"
	"strings"
)

// Exit is how a command line ends the process without serving.
type Exit struct {
	Code     int
	Out, Err string // for stdout and stderr
}

// Error is what is for stderr, or else for stdout.
func (e *Exit) Error() string {
	if e.Err != "" {
		return strings.TrimSpace(e.Err)
	}
	return strings.TrimSpace(e.Out)
}

// Parse reads a command line as Envoy's parser (TCLAP) does; args starts with the program's name. An
// error is an *Exit.
func Parse(args []string) (*Flags, error) {
	f := defaultFlags()
	p := &flagParser{program: args[0], args: args[1:], options: flagTable(f)}
	if exit := p.parse(); exit != nil {
		return nil, exit
	}
	if exit := f.check(p); exit != nil {
		return nil, exit
	}
	return f, nil
}

type flagParser struct {
	program string
	args    []string
	options []*flagOption
	at      int
}

// parse reads all arguments. Help and version answer where they stand: what comes after is not read.
func (p *flagParser) parse() *Exit {
	for ; p.at < len(p.args); p.at++ {
		arg := p.args[p.at]
		if arg == "--" || arg == "--ignore_rest" {
			return nil
		}
		exit, ok := p.one(arg)
		if exit != nil {
			return exit
		}
		// Nothing, and a dash alone, are a group of short switches with none in it.
		if !ok && arg != "" && arg != "-" {
			return p.fail(arg, "Couldn't find match for argument")
		}
	}
	return nil
}

func (p *flagParser) one(arg string) (exit *Exit, ok bool) {
	for _, o := range p.options {
		name, value := arg, ""
		if o.toggle == nil {
			// The flag and its value may come as one argument, with a space between.
			if i := strings.IndexByte(arg, ' '); i > 1 {
				name, value = arg[:i], arg[i+1:]
			}
		}
		if name == "--"+o.name || o.short != "" && name == "-"+o.short {
			return p.take(o, value), true
		}
	}
	switch {
	case arg == "--version":
		return &Exit{Out: "\n" + p.program + "  version: " + serverVersion() + "\n\n"}, true
	case arg == "--help" || arg == "-h":
		return &Exit{Out: p.help()}, true
	case len(arg) < 2 || arg[0] != '-' || arg[1] == '-' || strings.Contains(arg, " "):
		return nil, false
	}
	// Short switches may be grouped, and -h is the only one: whatever has an h in it asks for help.
	switch strings.Count(arg, "h") {
	case 0:
		return nil, false
	case 1:
		return &Exit{Out: p.help()}, true
	}
	return p.fail("-h (--help)", "Argument already set!"), true
}

// take sets an option; value is "" where it is the next argument.
func (p *flagParser) take(o *flagOption, value string) *Exit {
	if o.set && o.many == nil {
		return p.fail(o.id(), "Argument already set!")
	}
	o.set = true
	if o.toggle != nil {
		*o.toggle = true
		return nil
	}
	if value == "" {
		if p.at++; p.at == len(p.args) {
			return p.fail(o.id(), "Missing a value for this argument!")
		}
		value = p.args[p.at]
	}
	switch {
	case o.text != nil:
		*o.text = value
	case o.many != nil:
		*o.many = append(*o.many, value)
	default:
		if why := readFlagNumber(o.number, value); why != "" {
			return p.fail(o.id(), why)
		}
	}
	return nil
}

// readFlagNumber reads a number as C++'s streams do: spaces before it, a sign (minus wraps round), nothing
// after it. Nothing at all leaves the default.
func readFlagNumber(to *uint32, s string) (why string) {
	words := strings.FieldsFunc(s, isFlagSpace)
	if len(words) == 0 && s == "" {
		return ""
	}
	for i, w := range words {
		n, ok := readFlagWord(w)
		if !ok {
			words = nil
			break
		}
		if i == 0 {
			*to = n
		}
	}
	switch {
	case len(words) == 0 || isFlagSpace(rune(s[len(s)-1])):
		return "Couldn't read argument value from string '" + s + "'"
	case len(words) > 1:
		return "More than one valid value parsed from string '" + s + "'"
	}
	return ""
}

func isFlagSpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

func readFlagWord(w string) (uint32, bool) {
	digits, minus := strings.CutPrefix(w, "-")
	if !minus {
		digits = strings.TrimPrefix(w, "+")
	}
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if minus {
		n = -n
	}
	return uint32(n), err == nil
}

// id is how errors name an option.
func (o *flagOption) id() string {
	if o.short != "" {
		return "-" + o.short + " (--" + o.name + ")"
	}
	return "(--" + o.name + ")"
}

// fail is what the parser says of an argument that it cannot read.
func (p *flagParser) fail(id, why string) *Exit {
	return &Exit{Code: 1, Err: "PARSE ERROR: Argument: " + id + "\n             " + why + "\n\n" +
		"Brief USAGE: \n" + p.usage() + "\nFor complete USAGE and HELP type: \n   " + p.program + " --help\n\n" +
		id + " -- " + why + "\n"}
}
