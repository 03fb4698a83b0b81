package xds

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/anypb"
)

func TestSubscriptionsFollowReferences(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.wantAsked("", "Cluster")
		h.take("", sotw("1", cds("a", "needs eds:x"), cds("b", "needs eds:y"), cds("c", "needs eds:y")))
		h.wantAsked("", "ClusterLoadAssignment +x,y")
		h.take("", sotw("1", eds("x", "1"), eds("y", "1"), eds("z", "1")))
		h.want(EndpointURL, "x=1", "y=1")
		h.take("", sotw("2", cds("a", "needs eds:z"), cds("c", "needs eds:y")))
		h.wantAsked("", "ClusterLoadAssignment +z -x")
		h.want(EndpointURL, "y=1")
		h.take("", sotw("3", cds("a", "needs eds:z")))
		h.wantAsked("", "ClusterLoadAssignment -y")
		h.want(EndpointURL)
		h.take("", sotw("4", cds("a", "needs eds:z"), cds("c", "needs eds:y")))
		h.wantAsked("", "ClusterLoadAssignment +y")
	})
}

func TestWhatOnlyADroppedResourceNeededIsDroppedToo(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.c.ClustersReady()
		synctest.Wait()
		h.wantAsked("", "Cluster", "Listener")
		h.take("", sotw("1", lds("l", "needs ecds:e")))
		h.take("", sotw("1", res(ExtensionURL, "e", "needs sds:s")))
		h.take("", sotw("1", res(SecretURL, "s", "1")))
		h.want(SecretURL, "s=1")
		h.wantAsked("", "TypedExtensionConfig +e", "Secret +s")
		h.take("", sotw("2", lds("m", "1")))
		h.wantAsked("", "TypedExtensionConfig -e", "Secret -s")
		h.want(SecretURL)
		h.want(ExtensionURL)
	})
}

func TestEachNameHasAStreamOfItsOwnOutsideADS(t *testing.T) {
	run(t, ads, func(h *harness) {
		if err := h.c.Static([]*anypb.Any{cds("sds-grpc", "1")}); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.take("", sotw("1", cds("a", "needs sds:one grpc:sds-grpc;sds:two grpc:sds-grpc")))
		h.wantAsked("grpc:sds-grpc/one", "Secret +one")
		h.wantAsked("grpc:sds-grpc/two", "Secret +two")
		h.take("grpc:sds-grpc/one", sotw("1", res(SecretURL, "one", "1"), res(SecretURL, "two", "not its own")))
		h.want(SecretURL, "one=1")
		if got := h.last().Resource(SecretURL, "one").Source; got != "grpc:sds-grpc" {
			t.Errorf("source %q", got)
		}
		h.wantDetails(h.take("", sotw("2", cds("b", "needs sds:x grpc:b"), cds("a", "needs sds:one grpc:sds-grpc"))),
			"Error adding/updating cluster(s) b: envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: 'b' does not exist, was added via api, or is an EDS cluster")
		select {
		case <-h.open["grpc:sds-grpc/two"].closed:
		default:
			t.Error("the stream of two is open still")
		}
		h.want(SecretURL, "one=1")
	})
}

func TestChangeOfSourceAsksAnew(t *testing.T) {
	run(t, ads, func(h *harness) {
		if err := h.c.Static([]*anypb.Any{cds("x", "1")}); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.take("", sotw("1", cds("a", "needs eds:e")))
		h.take("", sotw("1", eds("e", "by ADS")))
		h.take("", sotw("2", cds("a", "needs eds:e delta:x")))
		h.want(EndpointURL)
		h.take("delta:x/e", delta("1", eds("e", "by delta")))
		h.want(EndpointURL, "e=by delta")
	})
}

func TestListenersAreAskedForWhenClustersAreReady(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.wantAsked("", "Cluster")
		if h.last().Answered(ClusterURL) || h.last().Answered(ListenerURL) {
			t.Error("answered already")
		}
		h.take("", sotw("1", cds("a", "bad")))
		if !h.last().Answered(ClusterURL) {
			t.Error("a rejected response is an answer")
		}
		h.wantAsked("")
		h.c.ClustersReady()
		h.c.ClustersReady()
		h.wantAsked("", "Listener")
		h.take("", sotw("1", lds("l", "1")))
		if !h.last().Answered(ListenerURL) {
			t.Error("LDS is not answered")
		}
	})
	run(t, Config{Listeners: &Ref{}}, func(h *harness) {
		h.start()
		h.wantAsked("", "Listener")
		if !h.last().Answered(ClusterURL) {
			t.Error("nobody is asked for clusters")
		}
	})
}

func TestInitialFetchTimeout(t *testing.T) {
	run(t, Config{Clusters: &Ref{Timeout: 7 * time.Second}, Listeners: &Ref{}}, func(h *harness) {
		h.start()
		time.Sleep(7*time.Second - time.Millisecond)
		synctest.Wait()
		if h.last().Answered(ClusterURL) {
			t.Error("too early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !h.last().Answered(ClusterURL) {
			t.Error("CDS is waited for still")
		}
		h.take("", sotw("1", cds("a", "needs eds:x 15s"), cds("b", "needs eds:x 5s"), cds("c", "needs eds:x"), cds("d", "needs eds:y 5s")))
		h.take("", sotw("1", eds("y", "1")))
		warm := func(want ...string) {
			t.Helper()
			var got []string
			for _, r := range h.last().Sorted(ClusterURL) {
				if h.last().Warm(r) {
					got = append(got, r.Name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("warm are %q, want %q", got, want)
			}
		}
		warm("d")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		warm("b", "d")
		// An update of b does not begin to wait anew; c has no timeout.
		h.take("", sotw("2", cds("a", "needs eds:x 15s"), cds("b", "needs eds:x 5s;eds:y 5s"), cds("c", "needs eds:x"), cds("d", "needs eds:y 5s")))
		warm("b", "d")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		warm("a", "b", "d")
		time.Sleep(time.Hour)
		synctest.Wait()
		warm("a", "b", "d")
		h.take("", sotw("2", eds("x", "1")))
		warm("a", "b", "c", "d")
		if n := len(h.last().waited); n != 0 {
			t.Errorf("%d references are still marked", n)
		}
	})
}

func TestEventsCountAsEnvoy(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.take("", sotw("1", cds("a", "needs eds:x"), cds("b", "needs eds:y 1s")))
		h.take("", sotw("1", eds("x", "1")))
		h.take("", sotw("2", eds("x", "bad")))
		time.Sleep(time.Second)
		synctest.Wait()
		h.open[""].sink.Connected(nil)
		h.take("", &Response{TypeURL: ClusterURL, Version: "3", ControlPlane: "cp", Delta: true})
		h.open[""].sink.Connected(errors.New("gone"))
		got := slices.Clone(h.events)
		want := []string{
			"attempt Cluster", "success Cluster  1", "attempt Cluster", "attempt ClusterLoadAssignment x", "attempt ClusterLoadAssignment y",
			"success ClusterLoadAssignment x 1", "attempt ClusterLoadAssignment x",
			"rejected ClusterLoadAssignment x", "attempt ClusterLoadAssignment x",
			"timeout ClusterLoadAssignment y", "attempt ClusterLoadAssignment y",
			"connected", "identified", "success Cluster  3", "attempt Cluster", "disconnected",
		}
		if n := len(want); len(got) < n || !slices.Equal(got[:n], want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		rest := got[len(want):]
		slices.Sort(rest)
		if want := []string{
			"attempt Cluster", "attempt ClusterLoadAssignment x", "attempt ClusterLoadAssignment y",
			"failed Cluster", "failed ClusterLoadAssignment x", "failed ClusterLoadAssignment y",
		}; !slices.Equal(rest, want) {
			t.Errorf("got %q, want %q", rest, want)
		}
	})
}

func TestSubscriptionsTellWhatIsMissing(t *testing.T) {
	run(t, ads, func(h *harness) {
		h.start()
		h.take("", sotw("1", cds("a", "needs eds:x"), cds("b", "needs eds:y")))
		h.take("", sotw("1", eds("x", "1")))
		h.open[""].sink.Connected(nil)
		var got []string
		for _, s := range h.c.Subscriptions() {
			got = append(got, fmt.Sprintln(s.TypeURL[strings.LastIndexByte(s.TypeURL, '.')+1:], s.All, s.Answered, s.Names, s.Missing, s.Connected, s.Version, s.Successes))
		}
		if want := []string{"Cluster true true [] [] true 1 1\n", "ClusterLoadAssignment false false [x y] [y] true 1 1\n"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestNameOfTwoSourcesStaysWhileOneWantsIt(t *testing.T) {
	run(t, ads, func(h *harness) {
		if err := h.c.Static([]*anypb.Any{cds("x", "1")}); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.take("", sotw("1", cds("a", "needs eds:e"), cds("b", "needs eds:e delta:x")))
		h.take("", sotw("1", eds("e", "by ADS")))
		h.take("delta:x/e", delta("1", eds("e", "by delta")))
		h.take("", sotw("2", cds("b", "needs eds:e delta:x")))
		h.want(EndpointURL, "e=by delta")
		h.take("", sotw("3", cds("c", "1")))
		h.want(EndpointURL)
	})
}
