package http2

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/pillion-proxy/pillion/dataplane/header"
)

// hello answers with a small body once the request has ended.
func hello(st *ServerStream, h *header.Map) {
	if st.Err() != nil {
		return
	}
	for end := st.EndStream(); !end; {
		var err *Error
		if _, end, _, err = st.NextBody(true); err != nil {
			return
		}
	}
	var resp header.Map
	resp.Reset()
	resp.Status = 200
	resp.Add("content-type", "text/plain")
	if h.Method == "HEAD" {
		st.WriteHeaders(&resp, true)
		return
	}
	st.WriteHeaders(&resp, false)
	st.WriteData([]byte("hello, world"), true)
}

// TestH2Spec runs h2spec 2.2.1, whose binary H2SPEC names.
func TestH2Spec(t *testing.T) {
	bin := os.Getenv("H2SPEC")
	if bin == "" {
		t.Skip("H2SPEC is not set")
	}
	s := listen(t, serverOptions(), serveFunc(hello))
	host, port, _ := net.SplitHostPort(s.addr)
	args := append([]string{"-h", host, "-p", port, "-o", "2"}, os.Args[len(os.Args):]...)
	out, err := exec.Command(bin, args...).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
