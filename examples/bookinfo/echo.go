package bookinfo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// maxLine bounds a line that is echoed.
const maxLine = 64 << 10

// prefix is the word by which an echo's version is known.
func prefix(version string) string {
	switch version {
	case "v1":
		return "one"
	case "v2":
		return "two"
	case "v3":
		return "three"
	}
	return version
}

// serveEcho answers every line by the version's word and the line, until ctx ends.
func serveEcho(ctx context.Context, l net.Listener, version string) error {
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var serving sync.WaitGroup
	defer serving.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for c := range open {
			_ = c.Close()
		}
	})
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("tcp-echo %s: %w", version, err)
		}
		mu.Lock()
		open[c] = true
		mu.Unlock()
		// Owned by this function: it ends with the connection, which ctx ends.
		serving.Go(func() {
			defer func() {
				mu.Lock()
				delete(open, c)
				mu.Unlock()
				_ = c.Close()
			}()
			if ctx.Err() == nil {
				echoLines(c, prefix(version))
			}
		})
	}
}

func echoLines(c net.Conn, word string) {
	lines := bufio.NewScanner(c)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	for lines.Scan() {
		if _, err := fmt.Fprintf(c, "%s %s\n", word, lines.Text()); err != nil {
			return
		}
	}
}
