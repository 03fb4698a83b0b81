package control

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pillion-proxy/pillion/xds"
)

func TestDocumentsAreReadAsJSON(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"scalars", "a: 1\nb: 0x1F\nc: 1.5\nd: yes\ne: true\nf: null\ng: 2001-01-01\nh: 10s\ni: '1'", `{"a":1,"b":31,"c":1.5,"d":"yes","e":true,"f":null,"g":"2001-01-01","h":"10s","i":"1"}`},
		{"anchors", "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\nf: {<<: [*x, {g: 3}], b: 4}", `{"a":{"b":1},"c":{"b":1},"d":{"e":2,"b":1},"f":{"b":4,"g":3}}`},
		{"blocks", "a: |\n  x\n  y\nb: >-\n  x\n  y", `{"a":"x\ny\n","b":"x y"}`},
		{"JSON", "{\"a\": [1, 2.50, \"\\ud83d\\ude00\\/\"],\n\t\"b\": {}}", `{"a":[1,2.50,"😀/"],"b":{}}`},
		{"flow YAML", "{a: b, 'c': [d]}", `{"a":"b","c":["d"]}`},
		{"no escapes", `a: <b>&"`, `{"a":"<b>&\""}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, err := parseTree("f", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(string(docs[0].json()), "\n", ""); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestEverythingStaysOnItsLine(t *testing.T) {
	text := "a:\n- 1\n\n- b: 2\n  c:\n\n    d: 3\ne: 4\n"
	docs, err := parseTree("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(docs[0].json()), "\n")
	for i, want := range map[int]string{1: "1", 3: `"b":2`, 6: `"d":3`, 7: `"e":4`} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d of %q lacks %s", i+1, lines, want)
		}
	}
}

func TestStatusPage(t *testing.T) {
	s := newServer(t, Options{}, clusterFile("a", "1s"))
	c := newSotw(t, s)
	c.ask("n", xds.ClusterURL)
	c.ack(c.want(xds.ClusterURL, "a"))
	if err := s.WaitCurrent(testContext(t), "n", xds.ClusterURL); err != nil {
		t.Fatal(err)
	}
	get := func(path string, to any) {
		t.Helper()
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if err := json.Unmarshal(w.Body.Bytes(), to); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %v %s", path, w.Code, err, w.Body)
		}
	}
	var st Status
	get("/", &st)
	if len(st.Clients) != 1 || st.Clients[0].Node != "n" || !st.Clients[0].Types[xds.ClusterURL].Current() {
		t.Errorf("got %+v", st)
	}
	var all map[string]map[string]struct{ Name string }
	get("/resources?node=n", &all)
	if all[xds.ClusterURL]["a"].Name != "a" {
		t.Errorf("got %v", all)
	}
}
