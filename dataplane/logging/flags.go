package logging

import (
	"path"
	"strconv"
	"strings"
	"syscall"
)

// flagOf is what a flag prints; nil: there is no such flag.
func flagOf(c byte) func(dst []byte, l *line) []byte {
	if f := messageFlag(c); f != nil {
		return f
	}
	if f := sourceFlag(c); f != nil {
		return f
	}
	return timeFlag(c)
}

// messageFlag are the flags about the message and who wrote it.
func messageFlag(c byte) func(dst []byte, l *line) []byte {
	switch c {
	case 'v':
		return func(dst []byte, l *line) []byte { return append(append(dst, l.text...), l.attrs...) }
	case '_':
		return func(dst []byte, l *line) []byte { return appendLines(appendLines(dst, []byte(l.text)), l.attrs) }
	case 'j':
		return func(dst []byte, l *line) []byte { return appendJSON(appendJSON(dst, l.text), l.attrs) }
	case '+': // the message alone, for a format that has the attributes by %*
		return func(dst []byte, l *line) []byte { return appendJSON(dst, l.text) }
	case '*':
		return func(dst []byte, l *line) []byte { return append(dst, l.tags...) }
	case 'n':
		return func(dst []byte, l *line) []byte { return append(dst, l.component.name...) }
	case 'l':
		return func(dst []byte, l *line) []byte { return append(dst, levels[l.level].name...) }
	case 'L':
		return func(dst []byte, l *line) []byte { return append(dst, levels[l.level].short) }
	case 't':
		return func(dst []byte, _ *line) []byte { return strconv.AppendInt(dst, int64(syscall.Gettid()), 10) }
	case 'P':
		return func(dst []byte, _ *line) []byte { return strconv.AppendInt(dst, int64(syscall.Getpid()), 10) }
	case '^', '$':
		return func(dst []byte, _ *line) []byte { return dst }
	}
	return nil
}

// sourceFlag are the flags about where the message was written.
func sourceFlag(c byte) func(dst []byte, l *line) []byte {
	switch c {
	case 'g':
		return appendFile
	case 's':
		return func(dst []byte, l *line) []byte {
			if f := l.source(); f.File != "" {
				dst = append(dst, path.Base(f.File)...)
			}
			return dst
		}
	case '#':
		return appendLine
	case '@':
		return func(dst []byte, l *line) []byte {
			if l.source().File == "" {
				return dst
			}
			return appendLine(append(appendFile(dst, l), ':'), l)
		}
	case '!':
		return func(dst []byte, l *line) []byte {
			f := l.source().Function
			return append(dst, f[strings.LastIndexByte(f, '.')+1:]...)
		}
	}
	return nil
}

const module = "github.com/pillion-proxy/pillion/"

// appendFile appends the file below the module's root, whatever it was built in: the package's path is
// known from the function's name.
func appendFile(dst []byte, l *line) []byte {
	f := l.source()
	if f.File == "" {
		return dst
	}
	slash := strings.LastIndexByte(f.Function, '/') + 1
	dir := f.Function
	if dot := strings.IndexByte(f.Function[slash:], '.'); dot >= 0 {
		dir = f.Function[:slash+dot]
	}
	dst = append(dst, strings.TrimPrefix(dir, module)...)
	return append(append(dst, '/'), path.Base(f.File)...)
}

func appendLine(dst []byte, l *line) []byte {
	if n := l.source().Line; n > 0 {
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	return dst
}
