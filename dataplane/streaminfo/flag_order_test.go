package streaminfo

import "testing"

func TestFlagsAreInTheOrderOfTheirSetting(t *testing.T) {
	for _, c := range []struct {
		flags    Flag
		protocol Protocol
		want     string
	}{
		{0, HTTP11, "-"},
		{UpstreamConnectionFailure, HTTP11, "UF"},
		{UpstreamConnectionFailure | UpstreamRetryLimitExceeded, HTTP11, "URX,UF"},
		{UpstreamConnectionFailure | UpstreamRetryLimitExceeded, ProtocolNone, "UF,URX"},
		{NoHealthyUpstream | DelayInjected, HTTP2, "DI,UH"},
		{DelayInjected | UpstreamRetryLimitExceeded | UpstreamConnectionFailure, HTTP11, "DI,URX,UF"},
		{FaultInjected | DelayInjected, HTTP11, "DI,FI"},
		{DownstreamConnectionTermination | DelayInjected, HTTP11, "DI,DC"},
	} {
		i := Info{Flags: c.flags, Protocol: c.protocol}
		if got := string(i.AppendFlags(nil)); got != c.want {
			t.Errorf("%s over %v: %s, want %s", c.flags, c.protocol, got, c.want)
		}
	}
	i := Info{Flags: UpstreamConnectionFailure | UpstreamRetryLimitExceeded, Protocol: HTTP11}
	if got := string(i.AppendFlagsLong(nil)); got != "UpstreamRetryLimitExceeded,UpstreamConnectionFailure" {
		t.Errorf("long: %s", got)
	}
}

func TestEveryFlagHasAPlaceInTime(t *testing.T) {
	var all Flag
	for _, f := range chronological {
		if all&f != 0 {
			t.Errorf("%s twice", f)
		}
		all |= f
	}
	if all != 1<<len(flagNames)-1 {
		t.Errorf("%v are missing", (1<<len(flagNames)-1)&^all)
	}
}
