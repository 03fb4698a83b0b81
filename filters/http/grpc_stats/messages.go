package grpcstats

import (
	"strconv"

	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

// Messages is the filter state object of emit_filter_state, under the filter's name: how many messages a
// call's request and response had.
type Messages struct{ Request, Response uint64 }

// GRPCMessages are the counts, for who does not know the type.
func (m *Messages) GRPCMessages() (request, response uint64) { return m.Request, m.Response }

// FilterStateString is "request,response".
func (m *Messages) FilterStateString() string {
	return strconv.FormatUint(m.Request, 10) + "," + strconv.FormatUint(m.Response, 10)
}

// FilterStateJSON is the FilterObject as proto3 writes it: numbers of 64 bits are strings, and zeros are
// left out.
func (m *Messages) FilterStateJSON() any {
	return struct {
		Request  uint64 `json:"requestMessageCount,string,omitempty"`
		Response uint64 `json:"responseMessageCount,string,omitempty"`
	}{m.Request, m.Response}
}

var (
	_ streaminfo.Serializer = (*Messages)(nil)
	_ streaminfo.JSONer     = (*Messages)(nil)
)
