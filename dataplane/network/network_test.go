package network

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pillion-proxy/pillion/dataplane/dptest/race"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is the two ends of a TCP connection over loopback.
func pair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestPeekThenReadThenWrap(t *testing.T) {
	client, server := pair(t)
	var c Conn
	c.Start(server)
	go client.Write([]byte("hello world"))
	p, err := c.Peek(5)
	if err != nil || string(p[:5]) != "hello" {
		t.Fatalf("%q, %v", p, err)
	}
	c.Wrap(func(n net.Conn) net.Conn { return struct{ net.Conn }{n} })
	if c.TCP() != nil || c.Socket() == nil {
		t.Error("a wrapped connection has no TCP to splice, but still a socket")
	}
	got := make([]byte, 11)
	if _, err := io.ReadFull(&c, got); err != nil || string(got) != "hello world" {
		t.Errorf("%q, %v", got, err)
	}
	client.Close()
	if _, err := c.Peek(1); err != io.EOF {
		t.Errorf("peek at the end: %v", err)
	}
}

func TestWaitingHoldsNoBuffer(t *testing.T) {
	client, server := pair(t)
	var s Sock
	s.Init(server)
	server.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if err := s.Fill(); !IsTimeout(err) || s.Buf != nil {
		t.Errorf("%v, buffer %v", err, s.Buf)
	}
	server.SetReadDeadline(time.Time{})
	big := make([]byte, 10000)
	go client.Write(big)
	for s.Buffered() < len(big) {
		if err := s.Fill(); err != nil {
			t.Fatal(err)
		}
	}
	s.Consume(len(big))
	s.Idle()
	if s.Buf != nil {
		t.Error("an empty buffer goes back")
	}
}

func TestExchange(t *testing.T) {
	client, server := pair(t)
	var s Sock
	s.Init(client)
	go func() {
		b := make([]byte, 100)
		n, _ := server.Read(b)
		server.Write(append([]byte("re: "), b[:n]...))
	}()
	if n, err := s.Exchange([]byte("hi")); n != 2 || err != nil || string(s.Buf.Bytes()) != "re: hi" {
		t.Fatalf("%d, %v, %q", n, err, s.Buf.Bytes())
	}
	s.Free()
	// What came unasked makes the connection stale, and nothing is sent on it.
	server.Write([]byte("unasked"))
	time.Sleep(20 * time.Millisecond)
	if n, err := s.Exchange([]byte("hi")); n != 0 || err != ErrStale {
		t.Errorf("%d, %v", n, err)
	}
	s.Free()
	server.Close()
	time.Sleep(20 * time.Millisecond)
	if n, err := s.Exchange([]byte("hi")); n != 0 || err != ErrStale {
		t.Errorf("closed: %d, %v", n, err)
	}
}

func TestExchangeOfMoreThanTheSocketHolds(t *testing.T) {
	client, server := pair(t)
	var s Sock
	s.Init(client)
	big := make([]byte, 16<<20)
	go func() {
		io.CopyN(io.Discard, server, int64(len(big)))
		server.Write([]byte("ok"))
	}()
	if n, err := s.Exchange(big); n != len(big) || err != nil || string(s.Buf.Bytes()) != "ok" {
		t.Fatalf("%d, %v", n, err)
	}
	s.Free()
}

func TestExchangeDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools forget")
	}
	client, server := pair(t)
	var s Sock
	s.Init(client)
	go func() {
		b := make([]byte, 100)
		for {
			n, err := server.Read(b)
			if err != nil {
				return
			}
			server.Write(b[:n])
		}
	}()
	ping := []byte("ping")
	if n := testing.AllocsPerRun(200, func() {
		if _, err := s.Exchange(ping); err != nil {
			t.Fatal(err)
		}
		s.Consume(4)
		s.Idle()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	server.Close()
}

func TestWatcherTellsHangUpsOnly(t *testing.T) {
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	client, server := pair(t)
	var c Conn
	c.Start(server)
	c.Watcher = w
	told := make(chan string, 2)
	on := func() { told <- "hung up" }
	c.OnHangup(on)
	client.Write([]byte("data"))
	select {
	case <-told:
		t.Fatal("data is no hang-up")
	case <-time.After(30 * time.Millisecond):
	}
	c.OnHangup(nil)
	client.CloseWrite()
	for !c.HungUp() {
		time.Sleep(time.Millisecond)
	}
	if len(told) != 0 {
		t.Error("a callback that was taken back is not called")
	}
	c.OnHangup(on)
	if <-told != "hung up" {
		t.Error("whoever asks too late is told at once")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestReset(t *testing.T) {
	client, server := pair(t)
	var c Conn
	c.Start(server)
	c.Wrap(func(n net.Conn) net.Conn { return struct{ net.Conn }{n} })
	c.Reset()
	_, err := client.Read(make([]byte, 1))
	if !IsReset(err) || errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}
