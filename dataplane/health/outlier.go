package health

import (
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	datapb "github.com/envoyproxy/go-control-plane/envoy/data/cluster/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
	"github.com/pillion-proxy/pillion/dataplane/runtime"
)

// OutlierEnv is what a Detector is made with, beside its configuration.
type OutlierEnv struct {
	Cluster  string
	Stats    *OutlierStats
	Runtime  *runtime.Loader
	OnChange OnChange
	// Log takes events as lines of JSON; nil: nobody logs them.
	Log io.Writer
}

// Detector is one cluster's outlier detection: it ejects hosts that fail, and lets them back in
// (https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/upstream/outlier).
type Detector struct {
	config *Outlier
	env    OutlierEnv

	mu       sync.Mutex
	monitors map[*endpoint.Host]*monitor // guarded by mu
	order    []*monitor                  // guarded by mu: monitors in the order of Add
	active   int                         // guarded by mu: ejected hosts
	external Thresholds                  // guarded by mu
	local    Thresholds                  // guarded by mu
	timer    *time.Timer                 // guarded by mu; nil: closed
	closed   bool                        // guarded by mu
}

// Thresholds are what success rates were compared with last, in percent; -1: nothing.
type Thresholds struct{ Average, Ejection float64 }

// NewDetector starts outlier detection; Close ends it.
func NewDetector(c *Outlier, env OutlierEnv) *Detector {
	d := &Detector{config: c, env: env, monitors: map[*endpoint.Host]*monitor{}, external: Thresholds{-1, -1}, local: Thresholds{-1, -1}}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = time.AfterFunc(c.duration(env.Runtime, interval), d.onInterval)
	return d
}

// Close ends the detector. Hosts stay as they are.
func (d *Detector) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.timer.Stop()
	d.env.Stats.Active.Sub(0, uint64(d.active))
	d.active = 0
}

// Add makes the detector watch a host. One that is ejected already is let in again when its time has
// come.
func (d *Detector) Add(h *endpoint.Host) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := &monitor{detector: d, host: h, externalRate: -1, localRate: -1}
	if old, ok := h.Monitor().(*monitor); ok && old.detector != d {
		m.ejections, m.backoff, m.ejected, m.unejected, m.jitter = old.ejections, old.backoff, old.ejected, old.unejected, old.jitter
	}
	if h.Flags()&endpoint.FailedOutlierCheck != 0 {
		d.active++
		d.env.Stats.Active.Inc(0)
	}
	d.monitors[h] = m
	d.order = append(d.order, m)
	h.SetMonitor(m)
}

// Remove forgets a host.
func (d *Detector) Remove(h *endpoint.Host) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.monitors[h]
	if m == nil {
		return
	}
	delete(d.monitors, h)
	for i := range d.order {
		if d.order[i] == m {
			d.order = append(d.order[:i:i], d.order[i+1:]...)
			break
		}
	}
	if h.Flags()&endpoint.FailedOutlierCheck != 0 {
		d.active--
		d.env.Stats.Active.Dec(0)
	}
}

// Thresholds are what the last interval's success rates were compared with: of responses, and of local
// origin.
func (d *Detector) Thresholds() (external, local Thresholds) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.external, d.local
}

// Passed tells that a host has passed an active health check, which lets it in again.
func (d *Detector) Passed(h *endpoint.Host) {
	if !d.config.UnejectOnPass || h.Flags()&endpoint.FailedOutlierCheck == 0 {
		return
	}
	d.mu.Lock()
	m := d.monitors[h]
	if m == nil || d.closed {
		d.mu.Unlock()
		return
	}
	d.uneject(m, time.Now())
	d.mu.Unlock()
	d.env.OnChange(h)
}

// consecutive is called by the request whose failure filled counter.
func (d *Detector) consecutive(m *monitor, k *kind, counter *atomic.Uint32) {
	d.mu.Lock()
	if d.closed || d.monitors[m.host] != m || m.host.Flags()&endpoint.FailedOutlierCheck != 0 {
		d.mu.Unlock()
		return
	}
	k.detected(d.env.Stats).Inc(0)
	changed := d.eject(m, k)
	// The next bout counts from here, whether this one had an effect or not.
	counter.Store(0)
	if k == kind5xx {
		d.env.Stats.Consecutive5xx.Inc(0)
	}
	d.mu.Unlock()
	if changed {
		d.env.OnChange(m.host)
	}
}

// eject ejects a host unless too many are, or enforcement says no. d.mu is held.
func (d *Detector) eject(m *monitor, k *kind) bool {
	percent := 100 * float64(d.active+1) / float64(len(d.monitors))
	allowed := percent <= float64(min(d.config.get(d.env.Runtime, maxEjectionPercent), 100))
	if !allowed && (!d.config.AlwaysOne || d.active > 0) {
		d.env.Stats.Overflow.Inc(0)
		return false
	}
	if k == kind5xx || k == kindRate {
		d.env.Stats.Total.Inc(0)
	}
	if !runtime.Percent(uint32(d.config.get(d.env.Runtime, k.enforcing))).Roll(d.env.Runtime) {
		d.logEject(m, k, false)
		return false
	}
	d.active++
	d.env.Stats.Active.Inc(0)
	d.env.Stats.EnforcedTotal.Inc(0)
	k.enforced(d.env.Stats).Inc(0)
	m.host.SetFlags(endpoint.FailedOutlierCheck, endpoint.FailedOutlierCheck)
	m.ejections++
	m.ejected = time.Now()
	m.jitter = time.Duration(rand.Uint64N(d.config.get(d.env.Runtime, maxEjectionTimeJitter)+1)) * time.Millisecond
	m.backoff = d.nextBackoff(m.backoff)
	d.logEject(m, k, true)
	return true
}

// nextBackoff counts an ejection that makes the next one longer, up to max_ejection_time.
func (d *Detector) nextBackoff(n int) int {
	base, most := d.config.duration(d.env.Runtime, baseEjectionTime), d.config.duration(d.env.Runtime, maxEjectionTime)
	if time.Duration(n)*base < most+base {
		return n + 1
	}
	return n
}

// uneject lets a host in. d.mu is held.
func (d *Detector) uneject(m *monitor, now time.Time) {
	if !m.host.SetFlags(0, endpoint.FailedOutlierCheck) {
		return
	}
	d.active--
	d.env.Stats.Active.Dec(0)
	m.fives.Store(0)
	m.gateways.Store(0)
	m.locals.Store(0)
	m.unejected = now
	e := d.event(m, now, m.ejected)
	e.Action = datapb.Action_UNEJECT
	writeEvent(d.env.Log, e)
}

// degrade marks a host that says of itself that it is degraded.
func (d *Detector) degrade(m *monitor) {
	d.mu.Lock()
	if d.closed || d.monitors[m.host] != m || !m.host.SetFlags(endpoint.DegradedOutlierDetection, endpoint.DegradedOutlierDetection) {
		d.mu.Unlock()
		return
	}
	d.env.Stats.DetectedDegradation.Inc(0)
	m.degradedAt = time.Now()
	m.degradations = d.nextBackoff(m.degradations)
	d.mu.Unlock()
	d.env.OnChange(m.host)
}

func (d *Detector) event(m *monitor, now, last time.Time) *datapb.OutlierDetectionEvent {
	e := &datapb.OutlierDetectionEvent{
		Timestamp: timestamp(now), ClusterName: d.env.Cluster, UpstreamUrl: m.host.Address.String(), NumEjections: uint32(m.ejections),
	}
	if !last.IsZero() {
		e.SecsSinceLastAction = wrapperspb.UInt64(uint64(now.Sub(last) / time.Second))
	}
	return e
}

func (d *Detector) logEject(m *monitor, k *kind, enforced bool) {
	if d.env.Log == nil {
		return
	}
	e := d.event(m, time.Now(), m.unejected)
	e.Type, e.Enforced = k.event, enforced
	switch k {
	case kindRate, kindLocalRate:
		t, own := d.external, m.externalRate
		if k == kindLocalRate {
			t, own = d.local, m.localRate
		}
		e.Event = &datapb.OutlierDetectionEvent_EjectSuccessRateEvent{EjectSuccessRateEvent: &datapb.OutlierEjectSuccessRate{
			HostSuccessRate: uint32(own), ClusterAverageSuccessRate: uint32(max(t.Average, 0)), ClusterSuccessRateEjectionThreshold: uint32(max(t.Ejection, 0)),
		}}
	case kindFailure:
		e.Event = &datapb.OutlierDetectionEvent_EjectFailurePercentageEvent{EjectFailurePercentageEvent: &datapb.OutlierEjectFailurePercentage{HostSuccessRate: uint32(m.externalRate)}}
	case kindLocalFailure:
		e.Event = &datapb.OutlierDetectionEvent_EjectFailurePercentageEvent{EjectFailurePercentageEvent: &datapb.OutlierEjectFailurePercentage{HostSuccessRate: uint32(m.localRate)}}
	default:
		e.Event = &datapb.OutlierDetectionEvent_EjectConsecutiveEvent{EjectConsecutiveEvent: &datapb.OutlierEjectConsecutive{}}
	}
	writeEvent(d.env.Log, e)
}
