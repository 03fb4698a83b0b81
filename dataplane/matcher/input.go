package matcher

import (
	"net/netip"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-proxy/pillion/dataplane/header"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Data is what the inputs of a tree look at. What does not exist, or does not exist yet, is nil.
type Data struct {
	Request, RequestTrailers   *header.Map
	Response, ResponseTrailers *header.Map
	Info                       *streaminfo.Info
	Conn                       *streaminfo.Connection // nil: Info's
	Runtime                    *runtime.Loader
}

func (d *Data) conn() *streaminfo.Connection {
	if d.Conn == nil && d.Info != nil {
		return d.Info.Conn
	}
	return d.Conn
}

// Input takes a value out of the Data.
type Input interface{ Get(d Data) InputValue }

// InputValue is what an Input found. It is an address or an object where the input gives such, else a
// text.
type InputValue struct {
	text   string
	addr   netip.Addr
	object *structpb.Value
	state  inputState
}

type inputState uint8

const (
	inputAbsent  inputState = iota
	inputPending            // it may come yet: the response's headers while there is no response
	inputText
	inputAddr
	inputObject
)

// TextValue is the value of an Input that found s.
func TextValue(s string) InputValue { return InputValue{text: s, state: inputText} }

// Pending is the value of an Input that cannot know yet.
func Pending() InputValue { return InputValue{state: inputPending} }

// Text is the value as a string; an address is written out, an object has none.
func (v InputValue) Text() (string, bool) {
	switch v.state {
	case inputText:
		return v.text, true
	case inputAddr:
		return v.addr.String(), true
	}
	return "", false
}

// Addr is the value as an address, parsed if need be.
func (v InputValue) Addr() (netip.Addr, bool) {
	switch v.state {
	case inputAddr:
		return v.addr, true
	case inputText:
		if !looksLikeAddr(v.text) {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(v.text)
		return a, err == nil
	}
	return netip.Addr{}, false
}

// looksLikeAddr saves making an error of what is plainly no address.
func looksLikeAddr(s string) bool {
	for i := range len(s) {
		if c := lower(s[i]); c-'0' > 9 && c-'a' > 5 && c != '.' && c != ':' {
			return false
		}
	}
	return len(s) >= 2
}

func addrValue(a netip.Addr) InputValue {
	if !a.IsValid() {
		return InputValue{}
	}
	return InputValue{addr: a.Unmap(), state: inputAddr}
}

func maybeText(s string, ok bool) InputValue {
	if !ok {
		return InputValue{}
	}
	return TextValue(s)
}

// InputFunc compiles an input; it returns nil for one that it does not know.
type InputFunc func(x Extension) (Input, error)

// as unpacks x into a T, if that is what it holds.
func as[T any, P interface {
	*T
	proto.Message
	Validate() error
}](x Extension) (P, bool, error) {
	p := P(new(T))
	if x.GetTypedConfig().GetTypeUrl() != typePrefix+string(p.ProtoReflect().Descriptor().FullName()) {
		return nil, false, nil
	}
	if err := x.GetTypedConfig().UnmarshalTo(p); err != nil {
		return nil, true, err
	}
	return p, true, p.Validate()
}
