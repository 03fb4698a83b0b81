package fault

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest"
	"github.com/pillion-proxy/pillion/dataplane/filter/filtertest/envoytest"
	"github.com/pillion-proxy/pillion/dataplane/streaminfo"
)

func TestAsEnvoy(t *testing.T) { filtertest.Goldens(t, Extension) }

const typeURL = `"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"`

func harness(t *testing.T, fields string) *filtertest.Harness {
	t.Helper()
	return filtertest.New(t, filtertest.Config("fault", `{`+typeURL+fields+`}`), Extension)
}

var get = &envoytest.Request{Method: "GET", Path: "/", Host: "a"}

func TestDelayTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := harness(t, `, "delay": {"fixed_delay": "3s", "percentage": {"numerator": 100}}`)
		start := time.Now()
		if o := h.Do(t, &envoytest.Step{Request: *get, Upstream: envoytest.Response{Status: 200}}); o.Status != 200 {
			t.Errorf("%+v", o)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestDelayEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := harness(t, `, "delay": {"fixed_delay": "3600s", "percentage": {"numerator": 100}}, "abort": {"http_status": 503, "percentage": {"numerator": 100}}`)
		s := h.Stream(get)
		done := make(chan struct{})
		go func() {
			h.Chain.Run(s)
			close(done)
		}()
		synctest.Wait()
		if h.Stat("http.t.fault.active_faults") != 1 {
			t.Error("the fault is not counted")
		}
		s.Abort(filter.DownstreamDisconnect)
		<-done
		h.Complete(s)
		if s.Answered() || h.Stat("http.t.fault.active_faults") != 0 || h.Stat("http.t.fault.aborts_injected") != 0 || !s.Info.Has(streaminfo.DelayInjected) {
			t.Error("a stream that is over was gone on with")
		}
	})
}

func TestNothingToDoCostsNothing(t *testing.T) {
	h := harness(t, ``)
	s := h.Stream(get)
	f, err := (&config{}).Build(h.Context.Named("fault"))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		hf := f(s)
		hf.DecodeHeaders(s)
		hf.EncodeHeaders(s)
		hf.OnStreamComplete(s)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
