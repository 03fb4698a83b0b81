package logging

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// buffer is a bytes.Buffer for many goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	b.b.Reset()
	return s
}

func newLogs(t *testing.T, o Options) (*Logs, *buffer) {
	t.Helper()
	out := &buffer{}
	o.Output = out
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l, out
}

func TestTheDefaultLineIsEnvoys(t *testing.T) {
	l, out := newLogs(t, Options{})
	l.For("upstream").Warn("no healthy host", "cluster", "a b", "hosts", 3)
	want := regexp.MustCompile(`^\[20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\]\[\d+\]\[warning\]\[upstream\] ` +
		`\[dataplane/logging/logging_test\.go:\d+\] no healthy host cluster="a b" hosts=3\n$`)
	if got := out.take(); !want.MatchString(got) {
		t.Errorf("got %q", got)
	}
}

// The times and texts are those of a run of Envoy 1.40 with the same pattern.
func TestPatternsPrintWhatEnvoyPrints(t *testing.T) {
	zone := time.FixedZone("", -5*3600)
	at := time.Date(2026, 11, 25, 17, 2, 13, 754958000, zone)
	for pattern, want := range map[string]string{
		"%a|%A|%b|%h|%B|%c|%C|%Y|%D|%x|%m|%d|%H|%I|%M|%S|%e|%f|%F|%p|%r|%R|%T|%X|%z|%E": "Wed|Wednesday|Nov|Nov|November|Wed Nov 25 17:02:13 2026|26|2026|11/25/26|11/25/26|11|25|17|05|02|13|754|754958|754958000|PM|05:02:13 PM|17:02|17:02:13|17:02:13|-05:00|1795644133",
		"%n|%l|%L":                      "main|critical|C",
		"%^|%$|%%":                      "||%",
		"%8l|%-8l|%=8l|%3!l|%-12!l.":    "critical|critical|critical|cri|critical    .",
		"a%":                            "a",
		"%q|%k|%y":                      "%q|%k|%y",
		"%_":                            `a"b\nc`,
		"%j|%+":                         `a\"b\nc|a\"b\nc`,
		"%*":                            "",
		"%*%v":                          "a\"b\nc",
		"%4n|%-20l|":                    "main|critical            |",
		"%70l|":                         strings.Repeat(" ", 56) + "critical|",
		"%200l|":                        strings.Repeat(" ", 56) + "critical|",
		"%08l":                          "critical",
		"%-=l|":                         "%=l|",
		"%5":                            "",
		"%3!v":                          `a"b`,
		"%9n|%-9n|%=9n|%=10n|":          "     main|main     |  main   |   main   |",
		"%8e|%12Y|%2!Y":                 "     754|        2026|20",
		"%3%|":                          "%|",
		"%12^%l":                        "critical",
		`tab\tx`:                        `tab\tx`,
		"[%10!] %n":                     "[          ] main",
		"%g|%#|%s|%@|%!":                "||||",
		"%Y-%m-%dT%T.%fZ\t%l\tenvoy %n": "2026-11-25T17:02:13.754958Z\tcritical\tenvoy main",
	} {
		l, out := newLogs(t, Options{Format: pattern})
		r := slog.NewRecord(at, LevelCritical, "a\"b\nc", 0)
		if err := l.For("main").Handler().Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		if got := out.take(); got != want+"\n" {
			t.Errorf("%s:\ngot  %q\nwant %q", pattern, got, want+"\n")
		}
	}
}

func TestMidnightIsZeroOnTheTwelveHourClock(t *testing.T) {
	l, out := newLogs(t, Options{Format: "%I %r"})
	r := slog.NewRecord(time.Date(2026, 1, 2, 0, 4, 5, 0, time.UTC), LevelInfo, "", 0)
	_ = l.For("main").Handler().Handle(context.Background(), r)
	if got := out.take(); got != "00 00:04:05 AM\n" {
		t.Errorf("got %q", got)
	}
}

func TestSourceFlagsNameTheFileBelowTheModule(t *testing.T) {
	l, out := newLogs(t, Options{Format: "%s|%g|%@|%!"})
	l.For("main").Info("x")
	if got := out.take(); !regexp.MustCompile(`^logging_test\.go\|dataplane/logging/logging_test\.go\|dataplane/logging/logging_test\.go:\d+\|TestSourceFlagsNameTheFileBelowTheModule\n$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
}

func TestElapsedTimeIsCountedFromTheLastLine(t *testing.T) {
	l, out := newLogs(t, Options{Format: "%o %i %u %O"})
	at := time.Now()
	for range 2 {
		_ = l.For("main").Handler().Handle(context.Background(), slog.NewRecord(at, LevelInfo, "", 0))
		at = at.Add(2345678901 * time.Nanosecond)
	}
	if got := strings.Split(out.take(), "\n")[1]; got != "2345 2345678 2345678901 2" {
		t.Errorf("got %q", got)
	}
}

func TestEscapedLinesAreCStrings(t *testing.T) {
	l, out := newLogs(t, Options{Format: "[%l] \"%v\"\n", Escaped: true})
	l.For("main").Info("a'b\nc\té\x01\\")
	if got, want := out.take(), `[info] \"a\'b\nc\t\303\251\001\\\"`+"\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLevelsArePerComponent(t *testing.T) {
	l, out := newLogs(t, Options{Level: LevelWarning, Format: "%n %l %v", Components: []ComponentLevel{{"misc", LevelError}}})
	up, http := l.For("upstream"), l.For("http")
	up.Info("no")
	if !l.SetLevel("upstream", LevelTrace) || l.SetLevel("nosuch", LevelTrace) {
		t.Error("SetLevel knows the components")
	}
	up.Log(context.Background(), LevelTrace, "yes")
	http.Info("no")
	l.For("misc").Warn("no")
	if got := out.take(); got != "upstream trace yes\n" {
		t.Errorf("got %q", got)
	}
	l.SetAll(LevelOff)
	up.Log(context.Background(), LevelCritical, "no")
	if got := out.take(); got != "" {
		t.Errorf("off: got %q", got)
	}
	all := map[string]slog.Level{}
	for name, level := range l.All() {
		all[name] = level
	}
	if len(all) != 73 || all["http"] != LevelOff {
		t.Errorf("%d components", len(all))
	}
}

func TestTheAttributeComponentChoosesTheLogger(t *testing.T) {
	l, out := newLogs(t, Options{Format: "%n %v"})
	base := l.For("main")
	base.With("component", "listener").Info("a") // the listener manager logs as config in Envoy
	base.With("component", "router", "x", 1).Info("b")
	base.With("component", "nosuch").Info("c")
	base.WithGroup("g").With("component", "router").Info("d", "y", 2)
	if got, want := out.take(), "config a\nrouter b x=1\nmain c\nmain d g.component=router g.y=2\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAliasesAreOfEnvoysLoggers(t *testing.T) {
	for name, to := range aliases {
		if !Known(to) || Known(name) {
			t.Errorf("%s: %s", name, to)
		}
	}
	if !Known(fallback) {
		t.Error(fallback)
	}
}

func TestAttributesFollowTheMessage(t *testing.T) {
	l, out := newLogs(t, Options{Format: "%v|%j|%+%*"})
	l.For("main").With("a", "").Info("m", "err", errors.New("x=1"), slog.Group("g", "k", time.Second), slog.Attr{}, "t", time.Unix(0, 0).UTC(), "bad", "\xff")
	want := `m a="" err="x=1" g.k=1s t=1970-01-01T00:00:00Z bad="\xff"|` +
		`m a=\"\" err=\"x=1\" g.k=1s t=1970-01-01T00:00:00Z bad=\"\\xff\"|` +
		`m,"a":"","err":"x=1","g.k":"1s","t":"1970-01-01T00:00:00Z","bad":"` + "\ufffd" + `"` + "\n"
	if got := out.take(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestApplicationLogConfig(t *testing.T) {
	object := func(m map[string]any) *bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat {
		s, err := structpb.NewStruct(m)
		if err != nil {
			t.Fatal(err)
		}
		return &bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat{LogFormat: &bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat_JsonFormat{JsonFormat: s}}
	}
	l, out := newLogs(t, Options{})
	text := &bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat{LogFormat: &bootstrappb.Bootstrap_ApplicationLogConfig_LogFormat_TextFormat{TextFormat: "%l\tenvoy %n\t%v"}}
	if err := l.Configure(text); err != nil {
		t.Fatal(err)
	}
	l.For("upstream").Info("x")
	if got := out.take(); got != "info\tenvoy upstream\tx\n" {
		t.Errorf("text: got %q", got)
	}
	for _, flag := range []string{"%v", "%_", "%5v"} {
		err := l.Configure(object(map[string]any{"a": flag}))
		want := "setJsonLogFormat error: INVALID_ARGUMENT: Usage of %" + flag[len(flag)-1:] + " is unavailable for JSON log formats"
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v", flag, err)
		}
	}
	if err := l.Configure(object(map[string]any{"msg": "%j", "level": "%l", "o": map[string]any{"l": []any{"x\"", true, nil, 1.5}}})); err != nil {
		t.Fatal(err)
	}
	l.For("upstream").Info("a \"quoted\"\n", "k", "v")
	if got, want := out.take(), `{"level":"info","msg":"a \"quoted\"\n k=v","o":{"l":["x\"",true,null,1.5]}}`+"\n"; got != want {
		t.Errorf("json:\ngot  %s\nwant %s", got, want)
	}
}

func TestTheLogFileIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := New(Options{Path: path, Format: "%v"})
	if err != nil {
		t.Fatal(err)
	}
	l.For("main").Info("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.For("main").Info("two")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.For("main").Info("three")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path + ".1": "one\ntwo\n", path: "three\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	_, err = New(Options{Path: "/nosuch/x"})
	if err == nil || err.Error() != "Failed to open log-file '/nosuch/x'. e.what(): unable to open file '/nosuch/x': No such file or directory" {
		t.Errorf("got %v", err)
	}
}

func TestLinesOfManyGoroutinesDoNotMix(t *testing.T) {
	l, out := newLogs(t, Options{Format: "%v"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			log := l.For("main")
			for range 100 {
				log.Info("message", "key", "value")
				l.SetFormat("%v")
			}
		})
	}
	wg.Wait()
	if got := out.take(); got != strings.Repeat("message key=value\n", 800) {
		t.Error("lines are mixed")
	}
}

func TestADisabledLineCostsNothing(t *testing.T) {
	l, _ := newLogs(t, Options{})
	log := l.For("http")
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() { log.DebugContext(ctx, "x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestLevelNames(t *testing.T) {
	if got := strings.Join(Levels(), " "); got != "trace debug info warning error critical off" {
		t.Errorf("got %q", got)
	}
	if _, ok := ParseLevel("warn"); ok {
		t.Error("/logging knows no warn")
	}
	if l, ok := ParseFlagLevel("warn"); !ok || l != LevelWarning {
		t.Error("the command line knows warn")
	}
	if LevelName(LevelInfo+1) != "info" || LevelName(-100) != "trace" || LevelName(LevelOff+1) != "off" {
		t.Error("levels between two")
	}
}
