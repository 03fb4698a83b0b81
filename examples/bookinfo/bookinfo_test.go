package bookinfo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite the made files")

// start serves a service and returns its address.
func start(t *testing.T, service, version string, o Options) string {
	t.Helper()
	l := o.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	o.Listener = l
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, service, version, o) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", service, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s does not end", service)
		}
	})
	return l.Addr().String()
}

// shop is bookinfo without a mesh.
func shop(t *testing.T, reviewsVersion string) (page string, calls *recorder) {
	t.Helper()
	calls = &recorder{}
	ratings := calls.before(t, start(t, Ratings, "v1", Options{}))
	reviews := start(t, Reviews, reviewsVersion, Options{Resolve: map[string]string{"ratings": ratings}})
	return start(t, ProductPage, "v1", Options{Resolve: map[string]string{
		"details": start(t, Details, "v1", Options{}), "reviews:9080": reviews, "ratings": ratings,
	}}), calls
}

// recorder is a proxy that keeps the last request's head.
type recorder struct {
	mu   sync.Mutex
	host string
	head http.Header
	fail bool
}

func (c *recorder) before(t *testing.T, address string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.host, c.head = r.Host, r.Header.Clone()
		fail := c.fail
		c.mu.Unlock()
		if fail {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		resp, err := http.Get("http://" + address + r.URL.Path)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("X-Version", resp.Header.Get("X-Version"))
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestPageShowsReviewsByVersion(t *testing.T) {
	for version, want := range map[string]struct {
		has, hasNot string
	}{
		"v1": {"evening", "★"},
		"v2": {`<p class="black">★★★★★</p>`, `class="red"`},
		"v3": {`<p class="red">★★★★☆</p>`, `class="black"`},
	} {
		t.Run(version, func(t *testing.T) {
			page, _ := shop(t, version)
			resp, body := get(t, "http://"+page+"/productpage")
			if !strings.Contains(body, want.has) || strings.Contains(body, want.hasNot) || !strings.Contains(body, "H. G. Wells") {
				t.Errorf("got %s", body)
			}
			if got := resp.Header.Get("X-Reviews-Version"); got != version {
				t.Errorf("x-reviews-version %q", got)
			}
			if got := resp.Header.Get("X-Ratings-Version"); (got == "v1") != (version != "v1") {
				t.Errorf("x-ratings-version %q", got)
			}
		})
	}
}

func TestHeadersArePassedOnToTheLastService(t *testing.T) {
	page, calls := shop(t, "v2")
	sent := []string{"end-user", "jason", "x-request-id", "r1", "x-b3-traceid", "t1", "traceparent", "00-a-b-01", "b3", "x"}
	get(t, "http://"+page+"/productpage", append(sent, "x-other", "stays")...)
	calls.mu.Lock()
	defer calls.mu.Unlock()
	for i := 0; i < len(sent); i += 2 {
		if got := calls.head.Get(sent[i]); got != sent[i+1] {
			t.Errorf("%s is %q", sent[i], got)
		}
	}
	if calls.head.Get("x-other") != "" {
		t.Error("x-other was passed on")
	}
	// The name is the service's, wherever it was dialled.
	if calls.host != "ratings:9080" {
		t.Errorf("host %q", calls.host)
	}
}

func TestPageGoesOnWithoutRatings(t *testing.T) {
	page, calls := shop(t, "v3")
	calls.fail = true
	_, body := get(t, "http://"+page+"/productpage")
	if !strings.Contains(body, "Ratings service is currently unavailable") || !strings.Contains(body, "dinner") {
		t.Errorf("got %s", body)
	}
}

func TestPageGoesOnWithoutTheOthers(t *testing.T) {
	gone := map[string]string{"details": "127.0.0.1:1", "reviews": "127.0.0.1:1", "ratings": "127.0.0.1:1"}
	page := start(t, ProductPage, "v1", Options{Resolve: gone})
	resp, body := get(t, "http://"+page+"/productpage")
	if resp.StatusCode != 200 || !strings.Contains(body, "the details of this book are not available") || !strings.Contains(body, "the reviews of this book are not available") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := get(t, "http://"+page+"/api/v1/products/0/ratings"); resp.StatusCode != 503 {
		t.Errorf("API answered %d", resp.StatusCode)
	}
}

func TestLoginMakesTheEndUser(t *testing.T) {
	page, calls := shop(t, "v2")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	resp, err := browser.PostForm("http://"+page+"/login", url.Values{"username": {"jason & co"}})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(body), `<b id="user">jason &amp; co</b>`) {
		t.Errorf("got %s", body)
	}
	if got := calls.head.Get("end-user"); got != "jason & co" {
		t.Errorf("end-user %q", got)
	}
	resp, err = browser.Get("http://" + page + "/logout")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := calls.head.Get("end-user"); got != "" {
		t.Errorf("end-user %q after logging out", got)
	}
}

func TestEveryServiceIsHealthyAndNamed(t *testing.T) {
	for _, service := range Services() {
		if service == TCPEcho {
			continue
		}
		address := start(t, service, "v1", Options{Instance: "i"})
		resp, body := get(t, "http://"+address+"/health")
		if resp.StatusCode != 200 || !strings.Contains(body, "healthy") {
			t.Errorf("%s: %d %s", service, resp.StatusCode, body)
		}
		if resp.Header.Get("X-App") != service || resp.Header.Get("X-Version") != "v1" || resp.Header.Get("X-Instance") != "i" {
			t.Errorf("%s: headers %v", service, resp.Header)
		}
	}
}

func TestEchoSaysItsVersion(t *testing.T) {
	for version, want := range map[string]string{"v1": "one hello\n", "v2": "two hello\n"} {
		c, err := net.Dial("tcp", start(t, TCPEcho, version, Options{}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 2 {
			if _, err := io.WriteString(c, "hello\n"); err != nil {
				t.Fatal(err)
			}
		}
		r := bufio.NewReader(c)
		for range 2 {
			if got, err := r.ReadString('\n'); got != want || err != nil {
				t.Errorf("%s: got %q, %v", version, got, err)
			}
		}
		// It answers what was sent before a half close, and closes then.
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after a half close %v", version, err)
		}
	}
}

func TestHTTPBin(t *testing.T) {
	base := "http://" + start(t, HTTPBin, "v1", Options{})
	if resp, _ := get(t, base+"/status/418"); resp.StatusCode != 418 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if resp, _ := get(t, base+"/status/nothing"); resp.StatusCode != 400 {
		t.Errorf("status %d", resp.StatusCode)
	}
	_, body := get(t, base+"/anything/a?q=1", "x-some", "thing")
	var e echo
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Headers["X-Some"] != "thing" || e.Args["q"] != "1" || e.Method != "GET" {
		t.Errorf("%v %s", err, body)
	}
	before := time.Now()
	if get(t, base+"/delay/0.2"); time.Since(before) < 200*time.Millisecond {
		t.Error("no delay")
	}
	if _, body := get(t, base+"/bytes/100000"); len(body) != 100000 {
		t.Errorf("%d bytes", len(body))
	}
	if resp, _ := get(t, base+"/response-headers?x-a=b"); resp.Header.Get("x-a") != "b" {
		t.Error("no response header")
	}
	_, body = get(t, base+"/hits")
	var hits map[string]int
	if err := json.Unmarshal([]byte(body), &hits); err != nil || hits["/status/418"] != 1 || hits["total"] != 6 {
		t.Errorf("%v %s", err, body)
	}
}

func TestVersionsAndServicesAreChecked(t *testing.T) {
	for service, version := range map[string]string{Reviews: "v4", "nothing": "v1", Ratings: ""} {
		if err := Run(t.Context(), service, version, Options{Listen: "127.0.0.1:0"}); err == nil {
			t.Errorf("%s %q is served", service, version)
		}
	}
}

func TestParseCommand(t *testing.T) {
	env := map[string]string{"BOOKINFO_LISTEN": "127.0.0.1:1", "BOOKINFO_RESOLVE": "ratings=1.2.3.4"}
	getenv := func(name string) string { return env[name] }
	c, err := ParseCommand([]string{"reviews", "v2", "--ratings", "http://r", "--resolve", "a=1.1.1.1:2", "--resolve=b:3=2.2.2.2"}, getenv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Service != "reviews" || c.Version != "v2" || c.Options.Ratings != "http://r" || c.Options.Listen != "127.0.0.1:1" {
		t.Errorf("got %+v", c)
	}
	if want := map[string]string{"a": "1.1.1.1:2", "b:3": "2.2.2.2"}; fmt.Sprint(c.Options.Resolve) != fmt.Sprint(want) {
		t.Errorf("resolve %v", c.Options.Resolve)
	}
	if c, err := ParseCommand([]string{"ratings"}, getenv); err != nil || c.Version != "v1" || c.Options.Resolve["ratings"] != "1.2.3.4" {
		t.Errorf("got %+v %v", c, err)
	}
	for _, bad := range [][]string{{}, {"a", "b", "c"}, {"a", "--resolve", "b"}, {"a", "--nothing"}} {
		if _, err := ParseCommand(bad, getenv); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := ParseCommand([]string{"--help"}, getenv); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("help is %v", err)
	}
}

func TestMadeFilesAreUpToDate(t *testing.T) {
	for file, l := range map[string]Layout{"xds/mesh.yaml": Loopback(), "testdata/namespaces.yaml": Namespaces()} {
		got, err := l.Mesh()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != string(got) {
			t.Errorf("%s is not what the layout makes, run with -update: %v", file, err)
		}
	}
	if !slices.Contains(Tasks(), "all-v1") {
		t.Errorf("tasks %v", Tasks())
	}
}
