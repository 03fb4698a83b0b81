package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	bootstrappb "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
	"github.com/pillion-proxy/pillion/xds/transcode"
)

// The fields of Bootstrap and of its static resources that are split off.
const (
	staticField    protowire.Number = 2
	listenersField protowire.Number = 1
	clustersField  protowire.Number = 2
	secretsField   protowire.Number = 3
)

// reader gathers documents in wire format: one after the other is one merged over the other.
type reader struct {
	opts   transcode.Options
	report transcode.Report

	rest                         []byte // all but static resources
	listeners, clusters, secrets []*anypb.Any
}

// file reads a file by its extension, as Envoy does.
func (r *reader) file(path string) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("Invalid path: %s", path)
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".pb":
		if err := r.split(src); err != nil {
			return fmt.Errorf("Unable to parse file %q as a binary protobuf (type envoy.config.bootstrap.v3.Bootstrap)", path)
		}
		return nil
	case ".pb_text":
		m := new(bootstrappb.Bootstrap)
		if err := (prototext.UnmarshalOptions{DiscardUnknown: r.opts.DropUnknown}).Unmarshal(src, m); err != nil {
			return fmt.Errorf("Unable to parse file %q as a text protobuf (type envoy.config.bootstrap.v3.Bootstrap): %w", path, err)
		}
		wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return err
		}
		return r.split(wire)
	case ".yaml", ".yml":
		return r.yaml(src)
	}
	wire, report, err := transcode.JSON((&bootstrappb.Bootstrap{}).ProtoReflect().Descriptor(), src, r.opts)
	return r.take(wire, report, err)
}

func (r *reader) yaml(src []byte) error {
	wire, report, err := transcode.YAML((&bootstrappb.Bootstrap{}).ProtoReflect().Descriptor(), src, r.opts)
	return r.take(wire, report, err)
}

func (r *reader) take(wire []byte, report transcode.Report, err error) error {
	if err != nil {
		return err
	}
	r.report.Unknown = append(r.report.Unknown, report.Unknown...)
	r.report.Types = append(r.report.Types, report.Types...)
	return r.split(wire)
}

// split takes static resources out of an encoded bootstrap. They stay pieces of wire.
func (r *reader) split(wire []byte) error {
	return fields(wire, func(n protowire.Number, kind protowire.Type, whole, value []byte) error {
		if n != staticField || kind != protowire.BytesType {
			r.rest = append(r.rest, whole...)
			return nil
		}
		return fields(value, func(n protowire.Number, _ protowire.Type, _, value []byte) error {
			switch n {
			case listenersField:
				r.listeners = append(r.listeners, &anypb.Any{TypeUrl: xds.ListenerURL, Value: value})
			case clustersField:
				r.clusters = append(r.clusters, &anypb.Any{TypeUrl: xds.ClusterURL, Value: value})
			case secretsField:
				r.secrets = append(r.secrets, &anypb.Any{TypeUrl: xds.SecretURL, Value: value})
			default:
				return fmt.Errorf("unknown static resource %d", n)
			}
			return nil
		})
	})
}

// fields calls f for each field of an encoded message, with the whole of it, and, if it has a length,
// its value.
func fields(b []byte, f func(n protowire.Number, kind protowire.Type, whole, value []byte) error) error {
	for len(b) > 0 {
		n, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(n, kind, b[tag:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		end := tag + size
		var value []byte
		if kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b[tag:])
			value = v[:len(v):len(v)]
		}
		if err := f(n, kind, b[:end:end], value); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}

// member is a static resource as a field of static_resources.
func member(a *anypb.Any) []byte {
	n := listenersField
	switch a.TypeUrl {
	case xds.ClusterURL:
		n = clustersField
	case xds.SecretURL:
		n = secretsField
	}
	b := make([]byte, 0, len(a.Value)+8)
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), a.Value)
}
