package stats

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	metricspb "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
)

// Config is a compiled stats_config.
type Config struct {
	Matcher Matcher // nil: all stats exist
	Tagger  *Tagger
	Buckets *Buckets
}

// Compile compiles stats_config, which may be nil, and the tags of --stats-tag.
func Compile(c *metricspb.StatsConfig, flags []Tag) (*Config, error) {
	if c != nil {
		if err := c.Validate(); err != nil {
			return nil, err
		}
	}
	matcher, err := compileMatcher(c.GetStatsMatcher())
	if err != nil {
		return nil, err
	}
	tagger, err := compileTagger(c, flags)
	if err != nil {
		return nil, err
	}
	buckets, err := compileBuckets(c.GetHistogramBucketSettings())
	if err != nil {
		return nil, err
	}
	return &Config{Matcher: matcher, Tagger: tagger, Buckets: buckets}, nil
}

// Configure sets all of a config; for stats that exist already, all but the matcher.
func (s *Store) Configure(c *Config) {
	if c.Matcher != nil {
		s.SetMatcher(c.Matcher)
	}
	s.SetTagger(c.Tagger)
	s.SetBuckets(c.Buckets)
}

// ParseTag reads the value of one --stats-tag flag.
func ParseTag(flag string) (Tag, error) {
	name, value, ok := strings.Cut(flag, ":")
	if !ok {
		return Tag{}, fmt.Errorf("misformatted stats-tag '%s'", flag)
	}
	for _, c := range []byte(name) {
		if !isWord(c) || c == '_' {
			return Tag{}, fmt.Errorf("misformatted stats-tag '%s' contains invalid char in '%s'", flag, name)
		}
	}
	if value == "" || strings.Contains(value, ".") {
		return Tag{}, fmt.Errorf("misformatted stats-tag '%s' contains invalid char in '%s'", flag, value)
	}
	return Tag{name, value}, nil
}

// compileTagger puts the extractors in order: the default ones, the flags', then stats_tags.
func compileTagger(c *metricspb.StatsConfig, flags []Tag) (*Tagger, error) {
	var all []extractor
	if c.GetUseAllDefaultTags() == nil || c.GetUseAllDefaultTags().GetValue() {
		all = slices.Clone(defaultExtractors())
	}
	defaults := len(all)
	for _, f := range flags {
		all = append(all, extractor{tag: f.Name, value: f.Value})
	}
	for _, t := range c.GetStatsTags() {
		extractors, err := compileTag(t)
		if err != nil {
			return nil, err
		}
		all = append(all, extractors...)
	}
	if c.GetAllowDefaultTagOverrides().GetValue() {
		own := all[defaults:]
		all = slices.DeleteFunc(slices.Clone(all[:defaults]), func(d extractor) bool {
			return slices.ContainsFunc(own, func(o extractor) bool { return o.tag == d.tag })
		})
		all = append(all, own...)
	}
	return newTagger(all), nil
}

func compileTag(t *metricspb.TagSpecifier) ([]extractor, error) {
	name := t.GetTagName()
	if name == "" {
		return nil, errors.New("tag_name cannot be empty")
	}
	if _, ok := t.GetTagValue().(*metricspb.TagSpecifier_FixedValue); ok {
		return []extractor{{tag: name, value: t.GetFixedValue()}}, nil
	}
	if t.GetRegex() != "" {
		expr, err := compileECMA(name, t.GetRegex())
		if err != nil {
			return nil, err
		}
		return []extractor{{tag: name, first: firstToken(t.GetRegex()), expr: expr}}, nil
	}
	var named []extractor
	for _, d := range defaultExtractors() {
		if d.tag == name {
			named = append(named, d)
		}
	}
	if named == nil {
		return nil, fmt.Errorf("No regex specified for tag specifier and no default regex for name: '%s'", name) //nolint:revive,staticcheck // Envoy's text
	}
	return named, nil
}
