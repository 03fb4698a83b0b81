package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"

	"github.com/pillion-proxy/pillion/dataplane/logging"
)

func parseFlags(t *testing.T, args ...string) *Flags {
	t.Helper()
	f, err := Parse(append([]string{"pillion"}, args...))
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return f
}

func exitOf(t *testing.T, args ...string) *Exit {
	t.Helper()
	_, err := Parse(append([]string{"pillion"}, args...))
	var e *Exit
	if !errors.As(err, &e) {
		t.Fatalf("%q: got %v, want an Exit", args, err)
	}
	return e
}

// What pilot-agent executes.
func TestIstiosCommandLine(t *testing.T) {
	f := parseFlags(t, "-c", "etc/istio/proxy/envoy-rev.json", "--drain-time-s", "45", "--drain-strategy", "immediate",
		"--local-address-ip-version", "v4", "--file-flush-interval-msec", "1000", "--disable-hot-restart", "--allow-unknown-static-fields",
		"--file-flush-min-size-kb", "3", "-l", "warning", "--component-log-level", "misc:error", "--skip-deprecated-logs",
		"--config-yaml", "{}", "--concurrency", "2")
	if f.ConfigPath != "etc/istio/proxy/envoy-rev.json" || f.DrainTime != 45*time.Second || !f.DrainImmediate || f.LocalAddressV6 ||
		f.FileFlushInterval != time.Second || !f.DisableHotRestart || !f.AllowUnknownStatic || f.FileFlushMinSize != 3<<10 ||
		f.LogLevel != logging.LevelWarning || !f.SkipDeprecatedLogs || f.ConfigYAML != "{}" || f.Concurrency != 2 ||
		!slices.Equal(f.ComponentLevels, []logging.ComponentLevel{{Component: "misc", Level: logging.LevelError}}) {
		t.Errorf("got %+v", f)
	}
	o := f.CommandLine(2)
	if o.DrainStrategy != adminpb.CommandLineOptions_Immediate || o.LogLevel != "warning" || o.ComponentLogLevel != "misc:error" ||
		o.LogFormat != logging.DefaultFormat || o.SocketPath != "@envoy_domain_socket" || o.ParentShutdownTime.AsDuration() != 15*time.Minute ||
		o.FileFlushInterval.AsDuration() != time.Second || o.Concurrency != 2 {
		t.Errorf("got %v", o)
	}
}

func TestDefaults(t *testing.T) {
	f := parseFlags(t)
	if f.Mode != adminpb.CommandLineOptions_Serve || f.Concurrency != 0 || f.DrainTime != 10*time.Minute || f.DrainImmediate || f.LogLevel != logging.LevelInfo ||
		f.FileFlushInterval != 10*time.Second || f.FileFlushMinSize != 0 || f.LocalAddressV6 || f.DisabledExtensions != nil {
		t.Errorf("got %+v", f)
	}
}

// Every row was tried on Envoy 1.40: what its parser says of a command line.
func TestParserSpeaksAsTCLAPDoes(t *testing.T) {
	for _, c := range []struct {
		args    []string
		id, why string
	}{
		{[]string{"--concurrency=3"}, "--concurrency=3", "Couldn't find match for argument"},
		{[]string{"-cfoo"}, "-cfoo", "Couldn't find match for argument"},
		{[]string{"-l", "warn", "-l", "info"}, "-l (--log-level)", "Argument already set!"},
		{[]string{"--allow-unknown-fields", "--allow-unknown-fields"}, "(--allow-unknown-fields)", "Argument already set!"},
		{[]string{"--zork"}, "--zork", "Couldn't find match for argument"},
		{[]string{"-", "zork", "--version"}, "zork", "Couldn't find match for argument"},
		{[]string{"--enable-core-dump", "true"}, "true", "Couldn't find match for argument"},
		{[]string{"-version"}, "-version", "Couldn't find match for argument"},
		{[]string{" -l debug"}, " -l debug", "Couldn't find match for argument"},
		{[]string{"-x h"}, "-x h", "Couldn't find match for argument"},
		{[]string{"-l"}, "-l (--log-level)", "Missing a value for this argument!"},
		{[]string{"--log-level "}, "-l (--log-level)", "Missing a value for this argument!"},
		{[]string{"--mode"}, "(--mode)", "Missing a value for this argument!"},
		{[]string{"-hh"}, "-h (--help)", "Argument already set!"},
		{[]string{"--concurrency", "abc"}, "(--concurrency)", "Couldn't read argument value from string 'abc'"},
		{[]string{"--concurrency", "5x"}, "(--concurrency)", "Couldn't read argument value from string '5x'"},
		{[]string{"--concurrency", "5 "}, "(--concurrency)", "Couldn't read argument value from string '5 '"},
		{[]string{"--concurrency", "5 6"}, "(--concurrency)", "More than one valid value parsed from string '5 6'"},
		{[]string{"--concurrency", "0x10"}, "(--concurrency)", "Couldn't read argument value from string '0x10'"},
		{[]string{"--concurrency", "-"}, "(--concurrency)", "Couldn't read argument value from string '-'"},
		{[]string{"--concurrency", "4294967296"}, "(--concurrency)", "Couldn't read argument value from string '4294967296'"},
		{[]string{"--concurrency", "-4294967296"}, "(--concurrency)", "Couldn't read argument value from string '-4294967296'"},
		{[]string{"--drain-time-s", "1.5"}, "(--drain-time-s)", "Couldn't read argument value from string '1.5'"},
	} {
		e := exitOf(t, c.args...)
		start := "PARSE ERROR: Argument: " + c.id + "\n             " + c.why + "\n\nBrief USAGE: \n   pillion  [--stats-tag <string>] ... "
		end := "[--version] [-h]\n\nFor complete USAGE and HELP type: \n   pillion --help\n\n" + c.id + " -- " + c.why + "\n"
		if e.Code != 1 || e.Out != "" || !strings.HasPrefix(e.Err, start) || !strings.HasSuffix(e.Err, end) {
			t.Errorf("%q: got %d\n%s", c.args, e.Code, e.Err)
		}
	}
}

func TestWhatTheParserTakes(t *testing.T) {
	if f := parseFlags(t, "-l debug", "--concurrency", " +010"); f.LogLevel != logging.LevelDebug || f.Concurrency != 10 {
		t.Errorf("a flag and its value in one argument: %+v", f)
	}
	if f := parseFlags(t, "", "-", "--", "--zork", "-h"); f.Mode != adminpb.CommandLineOptions_Serve {
		t.Error("nothing after -- is read")
	}
	if f := parseFlags(t, "--ignore_rest", "zork"); f.ConfigPath != "" {
		t.Error("--ignore_rest is --")
	}
	if f := parseFlags(t, "-c", "-l"); f.ConfigPath != "-l" {
		t.Error("a value may look like a flag")
	}
	if f := parseFlags(t, "--concurrency", "0"); f.Concurrency != 1 {
		t.Error("--concurrency 0 is one worker")
	}
	if f := parseFlags(t, "--drain-time-s", ""); f.DrainTime != 10*time.Minute {
		t.Error("an empty number is the default")
	}
	if f := parseFlags(t, "--restart-epoch", "-1", "--disable-hot-restart"); f.RestartEpoch != 1<<32-1 {
		t.Error("minus wraps round")
	}
	if f := parseFlags(t, "--stats-tag", "a:b", "--stats-tag", "c:d:e"); !slices.Equal(f.StatsTags, []string{"a:b", "c:d:e"}) {
		t.Errorf("got %q", f.StatsTags)
	}
	if f := parseFlags(t, "--cpuset-threads", "--concurrency", "1", "--allow-unknown-fields"); len(f.Warnings) != 3 || !f.AllowUnknownStatic {
		t.Errorf("got %q", f.Warnings)
	}
	if f := parseFlags(t, "--disable-extensions", "envoy.filters.http.lua,x"); !slices.Equal(f.DisabledExtensions, []string{"envoy.filters.http.lua", "x"}) {
		t.Errorf("got %q", f.DisabledExtensions)
	}
}

// Every text was taken from Envoy 1.40, but for the last two: of the drain strategy Envoy prints the
// mode by mistake, and it waits for a parent for ever.
func TestChecksSpeakAsEnvoyDoes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--mode", "x"}, "unknown mode 'x'"},
		{[]string{"-l", "bad", "--mode", "x"}, "invalid log level specified 'bad'"},
		{[]string{"-l", ""}, "invalid log level specified ''"},
		{[]string{"--component-log-level", "foo"}, "component log level not correctly specified 'foo'"},
		{[]string{"--component-log-level", "a:b:c"}, "component log level not correctly specified 'a:b:c'"},
		{[]string{"--component-log-level", "http:debug,"}, "component log level not correctly specified ''"},
		{[]string{"--component-log-level", "http:bad"}, "invalid log level specified 'bad'"},
		{[]string{"--component-log-level", "foo:debug"}, "invalid component specified 'foo'"},
		{[]string{"--enable-fine-grain-logging", "--component-log-level", "a:b"}, "--component-log-level will not work with --enable-fine-grain-logging"},
		{[]string{"--local-address-ip-version", "v5"}, "unknown IP address version 'v5'"},
		{[]string{"--use-dynamic-base-id", "--restart-epoch", "1"}, "cannot use --restart-epoch=1 with --use-dynamic-base-id"},
		{[]string{"--stats-tag", "a"}, "misformatted stats-tag 'a'"},
		{[]string{"--stats-tag", "a-b:c"}, "misformatted stats-tag 'a-b:c' contains invalid char in 'a-b'"},
		{[]string{"--stats-tag", "a:b.c"}, "misformatted stats-tag 'a:b.c' contains invalid char in 'b.c'"},
		{[]string{"--stats-tag", "a:"}, "misformatted stats-tag 'a:' contains invalid char in ''"},
		{[]string{"--drain-strategy", "x"}, "unknown drain-strategy 'x'"},
		{[]string{"--restart-epoch", "1"}, "--restart-epoch=1: hot restart is not supported"},
	} {
		if e := exitOf(t, c.args...); e.Code != 1 || e.Err != "error: "+c.want+"\n" || e.Out != "" {
			t.Errorf("%q: got %d %q", c.args, e.Code, e.Err)
		}
	}
	if f := parseFlags(t, "--restart-epoch", "1", "--mode", "validate"); f.RestartEpoch != 1 {
		t.Error("validating needs no parent")
	}
}

func TestVersionsAndHelpAnswerWhereTheyStand(t *testing.T) {
	e := exitOf(t, "--version", "zork")
	if want := "\npillion  version: " + revision() + "/1.40.0/Clean/RELEASE/BoringSSL\n\n"; e.Code != 0 || e.Out != want || len(revision()) != 40 {
		t.Errorf("got %d %q", e.Code, e.Out)
	}
	if e := exitOf(t, "--hot-restart-version", "--disable-hot-restart"); e.Code != 0 || e.Err != "disabled" || e.Out != "" {
		t.Errorf("got %+v", e)
	}
	if e := exitOf(t, "--hot-restart-version", "--mode", "foo"); e.Code != 1 {
		t.Error("the mode is checked before")
	}
	for _, help := range []string{"-h", "--help", "-path", "-xhx"} {
		if e := exitOf(t, help, "zork"); e.Code != 0 || e.Out != pillionHelp || e.Err != "" {
			t.Errorf("%s: got %d\n%s", help, e.Code, e.Out)
		}
	}
}

// A long name leaves less room for what hangs below it.
func TestUsageHangsByTheProgramsName(t *testing.T) {
	p := &flagParser{program: "/usr/local/bin/a-very-long-name-for-a-proxy/envoy", options: flagTable(defaultFlags())}
	want := "   /usr/local/bin/a-very-long-name-for-a-proxy/envoy  [--stats-tag\n" + strings.Repeat(" ", 40) + "<string>] ... [--enable-core-dump]\n"
	if got := p.usage(); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s", got)
	}
}

func TestEveryFlagHasAVerdict(t *testing.T) {
	var without []string
	for _, o := range flagTable(defaultFlags()) {
		if o.verdict == ignored {
			without = append(without, o.name)
		}
	}
	want := "enable-core-dump socket-mode socket-path enable-mutex-tracing parent-shutdown-time-s restart-epoch enable-fine-grain-logging " +
		"log-stacktrace-single-entry skip-deprecated-logs base-id-path skip-hot-restart-parent-stats skip-hot-restart-on-no-parent use-dynamic-base-id base-id"
	if got := strings.Join(without, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// pillionHelp is what Envoy 1.40 prints for --help under the name pillion.
const pillionHelp = `
USAGE: 

   pillion  [--stats-tag <string>] ... [--enable-core-dump] [--socket-mode
            <string>] [--socket-path <string>] [--disable-extensions
            <string>] [--cpuset-threads] [--enable-mutex-tracing]
            [--disable-hot-restart] [--mode <string>]
            [--parent-shutdown-time-s <uint32_t>] [--drain-strategy
            <string>] [--drain-time-s <uint32_t>] [--file-flush-min-size-kb
            <uint32_t>] [--file-flush-interval-msec <uint32_t>]
            [--service-zone <string>] [--service-node <string>]
            [--service-cluster <string>] [--hot-restart-version]
            [--restart-epoch <uint32_t>] [--log-path <string>]
            [--enable-fine-grain-logging] [--log-format-escaped]
            [--log-format <string>] [--component-log-level <string>] [-l
            <string>] [--local-address-ip-version <string>]
            [--admin-address-path <string>] [--log-stacktrace-single-entry]
            [--skip-deprecated-logs] [--ignore-unknown-dynamic-fields]
            [--reject-unknown-dynamic-fields]
            [--allow-unknown-static-fields] [--allow-unknown-fields]
            [--config-yaml <string>] [-c <string>] [--concurrency
            <uint32_t>] [--base-id-path <string>]
            [--skip-hot-restart-parent-stats]
            [--skip-hot-restart-on-no-parent] [--use-dynamic-base-id]
            [--base-id <uint32_t>] [--] [--version] [-h]


Where: 

   --stats-tag <string>  (accepted multiple times)
     This flag provides a universal tag for all stats generated by Envoy.
     The format is ` + "`" + `` + "`" + `tag:value` + "`" + `` + "`" + `. Only alphanumeric values are allowed for
     tag names. For tag values all characters are permitted except for '.'
     (dot). This flag can be repeated multiple times to set multiple
     universal tags. Multiple values for the same tag name are not
     allowed.

   --enable-core-dump
     Enable core dumps

   --socket-mode <string>
     Socket file permission

   --socket-path <string>
     Path to hot restart socket file

   --disable-extensions <string>
     Comma-separated list of extensions to disable

   --cpuset-threads
     Get the default # of worker threads from cpuset size

   --enable-mutex-tracing
     Enable mutex contention tracing functionality

   --disable-hot-restart
     Disable hot restart functionality

   --mode <string>
     One of 'serve' (default; validate configs and then serve traffic
     normally) or 'validate' (validate configs and exit).

   --parent-shutdown-time-s <uint32_t>
     Hot restart parent shutdown time in seconds

   --drain-strategy <string>
     Hot restart drain sequence behaviour, one of 'gradual' (default) or
     'immediate'.

   --drain-time-s <uint32_t>
     Hot restart and LDS removal drain time in seconds

   --file-flush-min-size-kb <uint32_t>
     Minimum size in KB for log flushing

   --file-flush-interval-msec <uint32_t>
     Interval for log flushing in msec

   --service-zone <string>
     Zone name

   --service-node <string>
     Node name

   --service-cluster <string>
     Cluster name

   --hot-restart-version
     Hot restart compatibility version

   --restart-epoch <uint32_t>
     Hot restart epoch #

   --log-path <string>
     Path to logfile

   --enable-fine-grain-logging
     Logger mode: enable file level log control (Fine-Grain Logger) or not

   --log-format-escaped
     Escape c-style escape sequences in the application logs

   --log-format <string>
     Log message format in spdlog syntax (see
     https://github.com/gabime/spdlog/wiki/3.-Custom-formatting)

     Default is "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v"

   --component-log-level <string>
     Comma-separated list of component log levels. For example
     upstream:debug,config:trace

   -l <string>,  --log-level <string>
     Log levels: [trace][debug][info][warning
     |warn][error][critical][off]

     Default is [info]

   --local-address-ip-version <string>
     The local IP address version (v4 or v6).

   --admin-address-path <string>
     Admin address path

   --log-stacktrace-single-entry
     Emit the entire stack trace in a single log entry instead of one log
     call per frame. Useful for log aggregation systems.

   --skip-deprecated-logs
     Skips the logging of deprecated field warnings during Protobuf message
     validation

   --ignore-unknown-dynamic-fields
     Ignore unknown fields in dynamic configuration

   --reject-unknown-dynamic-fields
     Reject unknown fields in dynamic configuration

   --allow-unknown-static-fields
     Allow unknown fields in static configuration

   --allow-unknown-fields
     Allow unknown fields in static configuration (DEPRECATED)

   --config-yaml <string>
     Inline YAML configuration, merges with the contents of --config-path

   -c <string>,  --config-path <string>
     Path to configuration file

   --concurrency <uint32_t>
     # of worker threads to run

   --base-id-path <string>
     Path to which the base ID is written

   --skip-hot-restart-parent-stats
     When hot restarting, by default the child instance copies stats from
     the parent instance periodically during the draining period. This can
     potentially be an expensive operation; set this to true to reset all
     stats in child process.

   --skip-hot-restart-on-no-parent
     When hot restarting with epoch>0, the default behavior is for the
     child to crash if the connection to the parent cannot be established.
     Set this to true to instead continue with a regular startup, while
     retaining the new epoch value.

   --use-dynamic-base-id
     The server chooses a base ID dynamically. Supersedes a static base ID.
     May not be used when the restart epoch is non-zero.

   --base-id <uint32_t>
     Base ID so that multiple envoys can run on the same host if needed

   --,  --ignore_rest
     Ignores the rest of the labeled arguments following this flag.

   --version
     Displays version information and exits.

   -h,  --help
     Displays usage information and exits.


   envoy

`
