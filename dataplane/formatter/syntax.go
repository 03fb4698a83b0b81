package formatter

import (
	"fmt"
	"strconv"
	"strings"
)

// segment is a piece of a format: literal text, then the value of an operator, if there is one.
type segment struct {
	literal string
	op      Operator
	max     int // -1: the value is not cut
}

// compileText splits a format at its operators and compiles those.
func compileText(format string, o Options) ([]segment, error) {
	var out []segment
	var literal []byte
	for at := 0; at < len(format); {
		if format[at] != '%' {
			literal = append(literal, format[at])
			at++
			continue
		}
		if strings.HasPrefix(format[at:], "%%") {
			literal = append(literal, '%')
			at += 2
			continue
		}
		cmd, end, ok := parseCommand(format, at)
		if !ok {
			return nil, fmt.Errorf("Incorrect configuration: %s. Couldn't find valid command at position %d", format, at)
		}
		s, err := compileCommand(cmd, o)
		if err != nil {
			return nil, err
		}
		s.literal = string(literal)
		out = append(out, s)
		literal, at = literal[:0], end
	}
	if len(literal) > 0 || len(out) == 0 {
		out = append(out, segment{literal: string(literal), max: -1})
	}
	return out, nil
}

// command is one use of an operator in a format.
type command struct {
	name, param string
	max         int // -1: none
}

// parseCommand reads the command that starts at the percent sign at at:
// %NAME%, %NAME(param)%, %NAME:max%, %NAME(param):max%. The parameter ends at the first parenthesis
// after which the command can end, so that it may hold percent signs and parentheses, but no newline.
func parseCommand(format string, at int) (cmd command, end int, ok bool) {
	i := at + 1
	for i < len(format) && isCommandByte(format[i]) {
		i++
	}
	cmd.name = format[at+1 : i]
	if cmd.name == "" || i == len(format) {
		return cmd, 0, false
	}
	if format[i] != '(' {
		cmd.max, end, ok = parseCommandEnd(format, i)
		return cmd, end, ok
	}
	for j := i + 1; j < len(format) && format[j] != '\n'; j++ {
		if format[j] != ')' {
			continue
		}
		if cmd.max, end, ok = parseCommandEnd(format, j+1); ok {
			cmd.param = format[i+1 : j]
			return cmd, end, true
		}
	}
	return cmd, 0, false
}

// parseCommandEnd reads ":max%" or "%".
func parseCommandEnd(format string, i int) (max, end int, ok bool) {
	max = -1
	if i < len(format) && format[i] == ':' {
		j := i + 1
		for j < len(format) && format[j] >= '0' && format[j] <= '9' {
			j++
		}
		n, err := strconv.Atoi(format[i+1 : j])
		if err != nil {
			return 0, 0, false
		}
		max, i = n, j
	}
	if i == len(format) || format[i] != '%' {
		return 0, 0, false
	}
	return max, i + 1, true
}

func isCommandByte(b byte) bool { return b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' }
