package hcm

import (
	"fmt"
	"strings"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	preservepb "github.com/envoyproxy/go-control-plane/envoy/extensions/http/header_formatters/preserve_case/v3"
	uuidpb "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	matcherpb "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/pillion-proxy/pillion/dataplane/accesslog"
	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/matcher"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// headerKeyFormat compiles Http1ProtocolOptions.header_key_format.
func headerKeyFormat(f *corepb.Http1ProtocolOptions_HeaderKeyFormat) (keep, proper bool, err error) {
	switch v := f.GetHeaderFormat().(type) {
	case *corepb.Http1ProtocolOptions_HeaderKeyFormat_ProperCaseWords_:
		return false, true, nil
	case *corepb.Http1ProtocolOptions_HeaderKeyFormat_StatefulFormatter:
		p, err := filter.Unpack[*preservepb.PreserveCaseFormatterConfig](v.StatefulFormatter.GetTypedConfig())
		if err != nil {
			return false, false, filter.UnknownError(v.StatefulFormatter.GetName(), v.StatefulFormatter.GetTypedConfig())
		}
		if p.GetForwardReasonPhrase() {
			return false, false, fmt.Errorf("PreserveCaseFormatterConfig.forward_reason_phrase is not supported")
		}
		return true, p.GetFormatterTypeOnEnvoyHeaders() == preservepb.PreserveCaseFormatterConfig_PROPER_CASE, nil
	}
	return false, false, nil
}

func compileIgnoreUpgrade(ps []*matcherpb.StringMatcher) (func(string) bool, error) {
	var ms []matcher.String
	for _, p := range ps {
		m, err := matcher.CompileString(p, matcher.Options{})
		if err != nil {
			return nil, fmt.Errorf("ignore_http_11_upgrade: %w", err)
		}
		ms = append(ms, m)
	}
	return func(v string) bool {
		for i := range ms {
			if ms[i].Match(v) {
				return true
			}
		}
		return false
	}, nil
}

func (c *Config) parseHeaders(p *hcmpb.HttpConnectionManager, _ filter.Parsers) error {
	c.serverName = "envoy"
	if p.GetServerName() != "" {
		c.serverName = p.GetServerName()
	}
	switch p.GetServerHeaderTransformation() {
	case hcmpb.HttpConnectionManager_APPEND_IF_ABSENT:
		c.serverHeader = serverAppendIfAbsent
	case hcmpb.HttpConnectionManager_PASS_THROUGH:
		c.serverHeader = serverPassThrough
	case hcmpb.HttpConnectionManager_OVERWRITE:
	}
	c.scheme = p.GetSchemeHeaderTransformation().GetSchemeToOverwrite()
	if p.GetSchemeHeaderTransformation().GetMatchUpstream() {
		return fmt.Errorf("HttpConnectionManager.scheme_header_transformation.match_upstream is not supported")
	}
	c.host = hostOptions{stripMatchingPort: p.GetStripMatchingHostPort(), stripAnyPort: p.GetStripAnyHostPort(), stripDot: p.GetStripTrailingHostDot()}
	r := &c.requestID
	r.generate = p.GetGenerateRequestId() == nil || p.GetGenerateRequestId().GetValue()
	r.preserveExternal, r.inResponse = p.GetPreserveExternalRequestId(), p.GetAlwaysSetRequestIdInResponse()
	r.packTrace, r.useForSampling = true, true
	if x := p.GetRequestIdExtension().GetTypedConfig(); x != nil {
		u, err := filter.Unpack[*uuidpb.UuidRequestIdConfig](x)
		if err != nil {
			return filter.UnknownError("request_id_extension", x)
		}
		if u.GetPackTraceReason() != nil {
			r.packTrace = u.GetPackTraceReason().GetValue()
		}
		if u.GetUseRequestIdForTraceSampling() != nil {
			r.useForSampling = u.GetUseRequestIdForTraceSampling().GetValue()
		}
	}
	d := p.GetSetCurrentClientCertDetails()
	c.xfcc = xfcc{mode: p.GetForwardClientCertDetails(), cert: d.GetCert(), chain: d.GetChain(), subject: d.GetSubject().GetValue(), uri: d.GetUri(), dns: d.GetDns(), issuer: d.GetIssuer()}
	return nil
}

func (c *Config) parsePath(p *hcmpb.HttpConnectionManager, _ filter.Parsers) error {
	c.path = pathOptions{normalize: p.GetNormalizePath().GetValue(), mergeSlashes: p.GetMergeSlashes()}
	switch p.GetPathWithEscapedSlashesAction() {
	case hcmpb.HttpConnectionManager_REJECT_REQUEST:
		c.path.slashes = slashesReject
	case hcmpb.HttpConnectionManager_UNESCAPE_AND_REDIRECT:
		c.path.slashes = slashesUnescapeAndRedirect
	case hcmpb.HttpConnectionManager_UNESCAPE_AND_FORWARD:
		c.path.slashes = slashesUnescapeAndForward
	case hcmpb.HttpConnectionManager_IMPLEMENTATION_SPECIFIC_DEFAULT, hcmpb.HttpConnectionManager_KEEP_UNCHANGED:
	}
	return nil
}

func (c *Config) parseFilters(p *hcmpb.HttpConnectionManager, ps filter.Parsers) (err error) {
	c.filters, err = parseChain(p.GetHttpFilters(), ps)
	return err
}

func parseChain(list []*hcmpb.HttpFilter, ps filter.Parsers) ([]httpFilter, error) {
	var out []httpFilter
	for i, f := range list {
		if f.GetConfigDiscovery() != nil {
			return nil, fmt.Errorf("HTTP filter %q: config_discovery is not supported", f.GetName())
		}
		config, terminal, err := ps.HTTP(f.GetName(), f.GetTypedConfig())
		if err != nil {
			if f.GetIsOptional() {
				continue
			}
			return nil, err
		}
		if last := i == len(list)-1; terminal != last {
			if terminal {
				return nil, fmt.Errorf("Error: terminal filter named %s of type %s must be the last filter in a http filter chain.", f.GetName(), f.GetName()) //nolint:revive,staticcheck // Envoy's text
			}
			return nil, fmt.Errorf("Error: non-terminal filter named %s of type %s is the last filter in a http filter chain.", f.GetName(), f.GetName()) //nolint:revive,staticcheck // Envoy's text
		}
		out = append(out, httpFilter{f.GetName(), config, f.GetDisabled()})
	}
	return out, nil
}

func (c *Config) parseUpgrades(p *hcmpb.HttpConnectionManager, ps filter.Parsers) error {
	c.upgrades, c.upgradeOwn = map[string]bool{}, map[string][]httpFilter{}
	for _, u := range p.GetUpgradeConfigs() {
		kind := strings.ToLower(u.GetUpgradeType())
		if _, ok := c.upgrades[kind]; ok {
			return fmt.Errorf("Error: multiple upgrade configs with the same name: '%s'", u.GetUpgradeType()) //nolint:revive,staticcheck // Envoy's text
		}
		c.upgrades[kind] = u.GetEnabled() == nil || u.GetEnabled().GetValue()
		if len(u.GetFilters()) == 0 {
			continue
		}
		chain, err := parseChain(u.GetFilters(), ps)
		if err != nil {
			return err
		}
		c.upgradeOwn[kind] = chain
	}
	return nil
}

func (c *Config) parseObservability(p *hcmpb.HttpConnectionManager, ps filter.Parsers) (err error) {
	if c.logs, err = accesslog.Compile(p.GetAccessLog(), ps.Logs()); err != nil {
		return err
	}
	if c.localReply, err = accesslog.CompileLocalReply(p.GetLocalReplyConfig(), ps.Logs()); err != nil {
		return err
	}
	t := p.GetTracing()
	if t == nil {
		return nil
	}
	if t.GetProvider() != nil {
		return fmt.Errorf("HttpConnectionManager.tracing.provider is not supported")
	}
	percent := func(v *typepb.Percent, key string) runtime.Fraction {
		f := runtime.Fraction{Numerator: 10_000, Denominator: 10_000, Key: key}
		if v != nil {
			f.Numerator = uint32(v.GetValue() * 100)
		}
		return f
	}
	c.tracing = &tracing{client: percent(t.GetClientSampling(), "tracing.client_enabled"), random: percent(t.GetRandomSampling(), "tracing.random_sampling"),
		overall: percent(t.GetOverallSampling(), "tracing.global_enabled")}
	return nil
}
