package dataplane

import "net"

// LocalAddress is the address of this machine's first interface that is up, of the wanted family:
// what --local-address-ip-version asks for.
func LocalAddress(v6 bool) string {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			ipn, ok := a.(*net.IPNet)
			if !ok || ipn.IP.IsLoopback() || ipn.IP.IsLinkLocalUnicast() || (ipn.IP.To4() == nil) != v6 {
				continue
			}
			return ipn.IP.String()
		}
	}
	if v6 {
		return "::1"
	}
	return "127.0.0.1"
}
