package main

import (
	"math"
	"strings"
	"time"

	adminpb "github.com/envoyproxy/go-control-plane/envoy/admin/v3"

	"github.com/pillion-proxy/pillion/dataplane/logging"
)

// check checks the values in Envoy's order, with its texts, and fills in the typed fields.
func (f *Flags) check(p *flagParser) *Exit {
	for _, step := range []func(*flagParser) *Exit{
		f.checkLogging, f.checkMode, f.checkAddress, f.checkEpoch, f.checkConcurrency, f.checkDrain, f.checkVersion, f.checkTags,
	} {
		if exit := step(p); exit != nil {
			return exit
		}
	}
	f.AllowUnknownStatic = f.allowUnknownStatic || f.allowUnknown
	if f.allowUnknown {
		f.warn("--allow-unknown-fields is deprecated, use --allow-unknown-static-fields instead.")
	}
	f.DrainTime = time.Duration(f.drainTime) * time.Second
	f.ParentShutdownTime = time.Duration(f.parentShutdown) * time.Second
	f.FileFlushInterval = time.Duration(f.flushMsec) * time.Millisecond
	f.FileFlushMinSize = int(min(uint64(f.flushMinKB)<<10, math.MaxInt32))
	if f.disableExtensions != "" {
		f.DisabledExtensions = strings.Split(f.disableExtensions, ",")
	}
	return nil
}

func badFlag(text string) *Exit { return &Exit{Code: 1, Err: "error: " + text + "\n"} }

func (f *Flags) warn(text string) { f.Warnings = append(f.Warnings, text) }

func (f *Flags) checkLogging(*flagParser) *Exit {
	level, ok := logging.ParseFlagLevel(f.logLevel)
	if !ok {
		return badFlag("invalid log level specified '" + f.logLevel + "'")
	}
	f.LogLevel = level
	if f.componentLevels == "" {
		return nil
	}
	if f.FineGrainLogging {
		return badFlag("--component-log-level will not work with --enable-fine-grain-logging")
	}
	for each := range strings.SplitSeq(f.componentLevels, ",") {
		name, value, ok := strings.Cut(each, ":")
		if !ok || strings.Contains(value, ":") {
			return badFlag("component log level not correctly specified '" + each + "'")
		}
		level, ok := logging.ParseFlagLevel(value)
		if !ok {
			return badFlag("invalid log level specified '" + value + "'")
		}
		if !logging.Known(name) {
			return badFlag("invalid component specified '" + name + "'")
		}
		f.ComponentLevels = append(f.ComponentLevels, logging.ComponentLevel{Component: name, Level: level})
	}
	return nil
}

func (f *Flags) checkMode(*flagParser) *Exit {
	switch f.mode {
	case "serve":
		f.Mode = adminpb.CommandLineOptions_Serve
	case "validate":
		f.Mode = adminpb.CommandLineOptions_Validate
	case "init_only":
		f.Mode = adminpb.CommandLineOptions_InitOnly
	default:
		return badFlag("unknown mode '" + f.mode + "'")
	}
	return nil
}

func (f *Flags) checkAddress(*flagParser) *Exit {
	switch f.ipVersion {
	case "v4":
	case "v6":
		f.LocalAddressV6 = true
	default:
		return badFlag("unknown IP address version '" + f.ipVersion + "'")
	}
	return nil
}

// checkEpoch refuses what only hot restart can do: Envoy would look for its parent for ever.
func (f *Flags) checkEpoch(*flagParser) *Exit {
	switch {
	case f.RestartEpoch == 0:
		return nil
	case f.UseDynamicBaseID:
		return badFlag("cannot use --restart-epoch=" + flagNumber(f.RestartEpoch) + " with --use-dynamic-base-id")
	case f.Mode == adminpb.CommandLineOptions_Serve && !f.DisableHotRestart && !f.SkipOnNoParent:
		return badFlag("--restart-epoch=" + flagNumber(f.RestartEpoch) + ": hot restart is not supported")
	}
	return nil
}

func (f *Flags) checkConcurrency(p *flagParser) *Exit {
	given := p.given("concurrency")
	if f.CPUSetThreads {
		f.warn("--cpuset-threads is now the default behavior and no longer required.")
	}
	if given && f.CPUSetThreads {
		f.warn("Both --concurrency and --cpuset-threads options are set; not applying --cpuset-threads.")
	}
	if given {
		f.Concurrency = max(f.concurrency, 1)
	}
	return nil
}

func (f *Flags) checkDrain(*flagParser) *Exit {
	switch f.drainStrategy {
	case "gradual":
	case "immediate":
		f.DrainImmediate = true
	default:
		// Envoy names the mode here, by mistake.
		return badFlag("unknown drain-strategy '" + f.drainStrategy + "'")
	}
	return nil
}

// checkVersion answers --hot-restart-version, on stderr as Envoy does: there is no hot restart.
func (f *Flags) checkVersion(*flagParser) *Exit {
	if f.hotRestartVersion {
		return &Exit{Err: "disabled"}
	}
	return nil
}

func (f *Flags) checkTags(*flagParser) *Exit {
	for _, tag := range f.StatsTags {
		name, value, ok := strings.Cut(tag, ":")
		switch {
		case !ok:
			return badFlag("misformatted stats-tag '" + tag + "'")
		case strings.ContainsFunc(name, func(r rune) bool { return !(r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z') }):
			return badFlag("misformatted stats-tag '" + tag + "' contains invalid char in '" + name + "'")
		case value == "" || strings.Contains(value, "."):
			return badFlag("misformatted stats-tag '" + tag + "' contains invalid char in '" + value + "'")
		}
	}
	return nil
}

// given tells whether a flag is on the command line.
func (p *flagParser) given(name string) bool {
	for _, o := range p.options {
		if o.name == name {
			return o.set
		}
	}
	return false
}
