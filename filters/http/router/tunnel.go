package router

import (
	"github.com/pillion-proxy/pillion/dataplane/pool"
	"github.com/pillion-proxy/pillion/dataplane/transport/proxyproto"
)

// tunnels tells whether a CONNECT ends here: its payload goes upstream as plain TCP (connect_config).
func (r *router) tunnels() bool {
	s := r.s
	if s.Upgrade == "" && s.Request.Method != "POST" {
		return false
	}
	u := r.route.UpgradeOf("connect")
	if u == nil || u.Connect == nil {
		return false
	}
	return s.Upgrade == "connect" || u.Connect.AllowPost && s.Request.Method == "POST"
}

// tunnel opens the connection that the payload of a CONNECT goes to.
func (r *router) tunnel() *pool.Error {
	s := r.s
	ctx, done := r.dialContext()
	defer done()
	c, err := r.owner.Dial(ctx, r.host, r.poolOptions(), s.Worker)
	if err != nil {
		return err
	}
	r.up = c.Tunnel(r.preface())
	r.opened()
	return nil
}

// preface is the PROXY protocol header that connect_config asks for.
func (r *router) preface() []byte {
	from, to := r.s.Info.DownstreamRemote(), r.s.Conn.Info.Local
	switch r.route.UpgradeOf("connect").Connect.ProxyProtocol {
	case 1:
		return proxyproto.AppendV1(nil, from, to)
	case 2:
		return proxyproto.AppendV2(nil, from, to, nil)
	}
	return nil
}
