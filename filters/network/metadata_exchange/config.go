package metadataexchange

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/filters/common/untyped"
)

const typeName = "envoy.tcp.metadataexchange.config.MetadataExchange"

// message is MetadataExchange. istio.io/api's Go type of that name lacks additional_labels.
var message = untyped.Message{
	{Number: 1, Name: "protocol"},
	{Number: 2, Name: "enable_discovery", Kind: untyped.Bool},
	{Number: 3, Name: "additional_labels", Repeated: true},
}

// Config is a compiled MetadataExchange.
type Config struct {
	protocol  string
	discovery bool
	labels    []string
	labelKey  string // labels, joined
}

func parseNetwork(a *anypb.Any, _ filter.Parsers) (filter.NetworkConfig, error) { return parse(a) }

func parseUpstream(a *anypb.Any) (filter.UpstreamConfig, error) { return parse(a) }

func parse(a *anypb.Any) (*Config, error) {
	s, err := untyped.Decode(a, "MetadataExchange", message)
	if err != nil {
		return nil, err
	}
	f := s.GetFields()
	c := &Config{protocol: f["protocol"].GetStringValue(), discovery: f["enable_discovery"].GetBoolValue()}
	if c.protocol == "" {
		return nil, errors.New("MetadataExchange.protocol is required")
	}
	for _, l := range f["additional_labels"].GetListValue().GetValues() {
		c.labels = append(c.labels, l.GetStringValue())
	}
	c.labelKey = strings.Join(c.labels, ",")
	return c, nil
}

var (
	_ filter.NetworkConfig  = (*Config)(nil)
	_ filter.UpstreamConfig = (*Config)(nil)
)
