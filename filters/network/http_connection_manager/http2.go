package hcm

import "github.com/pillion-proxy/pillion/dataplane/network"

func (m *manager) serveHTTP2(c *network.Conn) { _ = c.Close() }
