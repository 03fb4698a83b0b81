package formatter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

const coalesce = "COALESCE"

// unknownCommand is the error of a command that there is not.
type unknownCommand string

func (u unknownCommand) Error() string { return "Not supported field in StreamInfo: " + string(u) }

// compileCoalesce compiles %COALESCE({"operators":["NAME",{"command":"NAME","param":"…","max_length":9}]})%:
// the first of several values that is there.
func compileCoalesce(param string, o Options) (Operator, error) {
	var config any
	if err := json.Unmarshal([]byte(param), &config); err != nil {
		return nil, fmt.Errorf("COALESCE: failed to parse JSON configuration: JSON supplied is not valid. %w", err)
	}
	root, _ := config.(map[string]any)
	raw, ok := root["operators"]
	if !ok {
		return nil, errors.New("COALESCE: JSON configuration must contain 'operators' array")
	}
	entries, ok := raw.([]any)
	switch {
	case !ok:
		return nil, errors.New("COALESCE: 'operators' must be an array: key 'operators' missing or not an array from lines 1-1")
	case len(entries) == 0:
		return nil, errors.New("COALESCE: 'operators' array must not be empty")
	}
	segments := make([]segment, 0, len(entries))
	for i, e := range entries {
		cmd, err := parseCoalesceEntry(e)
		var s segment
		if err == nil {
			s, err = compileCommand(cmd, o)
		}
		var unknown unknownCommand
		if errors.As(err, &unknown) {
			err = fmt.Errorf("unknown command: '%s'", string(unknown))
		}
		if err != nil {
			return nil, fmt.Errorf("COALESCE: failed to parse operator at index %d: %w", i, err)
		}
		segments = append(segments, s)
	}
	return func(dst []byte, c *Context) ([]byte, Kind) {
		for i := range segments {
			mark := len(dst)
			var kind Kind
			if dst, kind = segments[i].op(dst, c); kind == String {
				return cut(dst, mark, segments[i].max), kind
			} else if kind != Missing {
				return dst, kind
			}
		}
		return dst, Missing
	}, nil
}

func parseCoalesceEntry(e any) (command, error) {
	cmd := command{max: -1}
	var entry map[string]any
	switch e := e.(type) {
	case string:
		cmd.name = e
		return cmd, nil
	case map[string]any:
		entry = e
	default:
		return cmd, errors.New("operator entry must be either a string (command name) or an object with 'command' field")
	}
	var ok bool
	if cmd.name, ok = entry["command"].(string); !ok {
		return cmd, errors.New("operator object must have 'command' field: key 'command' missing or not a string from lines 1-1")
	}
	if p, has := entry["param"]; has {
		if cmd.param, ok = p.(string); !ok {
			return cmd, errors.New("'param' field must be a string: key 'param' missing or not a string from lines 1-1")
		}
	}
	if m, has := entry["max_length"]; has {
		n, ok := m.(float64)
		switch {
		case !ok || n != math.Trunc(n):
			return cmd, errors.New("'max_length' field must be an integer: key 'max_length' missing or not an integer from lines 1-1")
		case n <= 0 || n > math.MaxInt32:
			return cmd, errors.New("'max_length' must be a positive integer")
		}
		cmd.max = int(n)
	}
	return cmd, nil
}
