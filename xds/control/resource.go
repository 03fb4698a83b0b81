package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-proxy/pillion/xds"
)

const (
	typePrefix     = "type.googleapis.com/"
	typedStructURL = typePrefix + "xds.type.v3.TypedStruct"
	wrapperURL     = typePrefix + "envoy.service.discovery.v3.Resource"
)

// resource is one xDS resource to serve. It is immutable.
type resource struct {
	typeURL, name string
	// body is the resource as it goes over the wire.
	body []byte
	// msg is what body says; nil if the body is served unread.
	msg proto.Message
	// at is where it came from; nil: the API.
	at *node
}

// order is the sequence in which types are sent, Envoy's own: what is referred to goes first.
func order() []string {
	return []string{
		xds.ClusterURL, xds.EndpointURL, xds.SecretURL, xds.ExtensionURL, xds.RuntimeURL,
		xds.ListenerURL, xds.ScopedURL, xds.RouteURL, xds.VHostURL,
	}
}

// newResource makes a resource of a message.
func newResource(m proto.Message) (resource, error) {
	r := resource{typeURL: typePrefix + string(m.ProtoReflect().Descriptor().FullName()), name: cache.GetResourceName(m), msg: m}
	if r.name == "" {
		return r, fmt.Errorf("%s has no name", short(r.typeURL))
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	r.body = body
	return r, err
}

// json shows a resource as protobuf's JSON; bytes that are not read as base64 of them.
func (r resource) json() json.RawMessage {
	if r.msg != nil {
		if b, err := (protojson.MarshalOptions{UseProtoNames: true}).Marshal(r.msg); err == nil {
			return b
		}
	}
	b, err := json.Marshal(map[string]any{"@type": r.typeURL, "raw": r.body})
	if err != nil {
		return nil
	}
	return b
}

// short is a type URL without its prefix.
func short(typeURL string) string { return strings.TrimPrefix(typeURL, typePrefix) }

// decoder turns parts of documents into messages and collects what is worth telling.
type decoder struct {
	// strict refuses what protoc-gen-validate refuses. A recording is served as it was.
	strict bool

	// notes are things that were done and should be known. Written while a file is read.
	notes []string

	mu sync.Mutex
	// unknowns are the types that are not linked in, by type URL. Guarded by mu.
	unknowns map[string]*unknown
}

// resource decodes an object that has an "@type".
func (d *decoder) resource(n *node) (resource, error) {
	typ := n.get("@type")
	if n.kind != objectNode || typ == nil {
		return resource{}, n.errorf(`a resource is an object with an "@type"`)
	}
	if typ.text() == wrapperURL {
		return d.wrapped(n)
	}
	var a anypb.Any
	if err := d.message(n, &a); err != nil {
		return resource{}, err
	}
	m, err := a.UnmarshalNew()
	if err != nil {
		return resource{}, n.at(err)
	}
	r, err := newResource(m)
	r.at = n
	return r, n.at(err)
}

// wrapped decodes an envoy.service.discovery.v3.Resource, as collections and files may hold.
func (d *decoder) wrapped(n *node) (resource, error) {
	for _, name := range []string{"ttl", "cache_control", "aliases", "dynamic_parameter_constraints"} {
		if f := n.get(name); f != nil {
			return resource{}, f.errorf("field Resource.%s is not supported", name)
		}
	}
	inner := n.get("resource")
	if inner == nil {
		return resource{}, n.errorf("Resource has no resource")
	}
	r, err := d.resource(inner)
	if name := n.get("name").text(); err == nil && name != "" {
		r.name = name
	}
	return r, err
}

// message decodes a node into m, as protobuf's JSON.
func (d *decoder) message(n *node, m proto.Message) error {
	if a, ok := m.(*anypb.Any); ok {
		if url := n.get("@type").text(); a != nil && !linked(url) {
			return n.errorf("type %q is not known here", url)
		}
	}
	if err := d.words(n, m); err != nil {
		return err
	}
	if d.strict {
		return n.at(validate(m))
	}
	return nil
}

// words decodes Envoy's words into a message, not yet held against its rules: what istiod adds may still
// be missing.
func (d *decoder) words(n *node, m proto.Message) error {
	if err := protojson.Unmarshal(d.linkable(n).json(), m); err != nil {
		return n.at(protoError(err))
	}
	return nil
}

// protoError moves the line of an error of protojson out of its text.
func protoError(err error) error {
	text := strings.TrimSpace(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto:"))
	at := regexp.MustCompile(`\(line (\d+):\d+\)(: )?`)
	m := at.FindStringSubmatch(text)
	if m == nil {
		return errors.New(text)
	}
	line, _ := strconv.Atoi(m[1])
	return &fileError{line: line, err: errors.New(strings.Replace(text, m[0], "", 1))}
}

func linked(url string) bool {
	_, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	return err == nil
}

// linkable replaces every Any inside n whose type is not linked into this binary by a TypedStruct of the
// same type and content: Envoy takes either, and so an extension that we do not know survives.
func (d *decoder) linkable(n *node) *node {
	if n.kind == scalarNode {
		return n
	}
	url := n.get("@type").text()
	if url != "" && !linked(url) {
		d.unknown(n, url)
		return typedStruct(n, url)
	}
	to := &node{file: n.file, line: n.line, kind: n.kind, keys: n.keys, vals: make([]*node, len(n.vals))}
	for i, v := range n.vals {
		if strings.HasSuffix(url, ".TypedStruct") && n.keys[i].name == "value" {
			to.vals[i] = v
			continue
		}
		to.vals[i] = d.linkable(v)
	}
	return to
}

func (d *decoder) note(n *node, format string, args ...any) {
	d.notes = append(d.notes, n.errorf(format, args...).Error())
}

// unknown notes a type that is not linked in, once, with how often it occurs.
func (d *decoder) unknown(n *node, url string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unknowns == nil {
		d.unknowns = map[string]*unknown{}
	}
	u := d.unknowns[url]
	if u == nil {
		u = &unknown{at: n}
		d.unknowns[url] = u
	}
	u.times++
}

type unknown struct {
	at    *node
	times int
}

// told are all notes.
func (d *decoder) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Clone(d.notes)
	for _, url := range slices.Sorted(maps.Keys(d.unknowns)) {
		u := d.unknowns[url]
		text := fmt.Sprintf("%s is not known here and is sent as a TypedStruct", short(url))
		if u.times > 1 {
			text += fmt.Sprintf(", here and %d times more", u.times-1)
		}
		all = append(all, u.at.errorf("%s", text).Error())
	}
	return all
}

func typedStruct(n *node, url string) *node {
	value := &node{file: n.file, line: n.line, kind: objectNode}
	for i, k := range n.keys {
		if k.name != "@type" {
			value.keys, value.vals = append(value.keys, k), append(value.vals, n.vals[i])
		}
	}
	text := func(s string) *node { return &node{file: n.file, line: n.line, scalar: quote(s)} }
	return &node{
		file: n.file, line: n.line, kind: objectNode,
		keys: []key{{"@type", n.line}, {"type_url", n.line}, {"value", n.line}},
		vals: []*node{text(typedStructURL), text(url), value},
	}
}

// validate applies protoc-gen-validate's rules to m and to every Any in it.
func validate(m proto.Message) error {
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			return err
		}
	}
	return validateAnys(m.ProtoReflect())
}

func validateAnys(m protoreflect.Message) error {
	if a, ok := m.Interface().(*anypb.Any); ok {
		inner, err := a.UnmarshalNew()
		if err != nil {
			return fmt.Errorf("%s: %w", short(a.GetTypeUrl()), err)
		}
		return validate(inner)
	}
	var err error
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil {
			return true
		}
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() == nil {
				return true
			}
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				err = validateAnys(v.Message())
				return err == nil
			})
		case fd.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = validateAnys(v.List().Get(i).Message())
			}
		default:
			err = validateAnys(v.Message())
		}
		return err == nil
	})
	return err
}
