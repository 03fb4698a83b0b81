package health

import (
	"math"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// onInterval lets hosts in whose time has come, and ejects those whose success rate is too low. The
// timer calls it.
func (d *Detector) onInterval() {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	now := time.Now()
	var changed []*endpoint.Host
	for _, m := range d.order {
		if d.letIn(m, now) {
			changed = append(changed, m.host)
		}
		m.external.turn()
		m.local.turn()
		m.externalRate, m.localRate = -1, -1
	}
	changed = d.judge(changed, false)
	changed = d.judge(changed, true)
	step := d.config.duration(d.env.Runtime, interval)
	for _, m := range d.order {
		// A host that has done well for an interval is ejected for a shorter time when it fails next.
		if m.backoff > 0 && m.host.Flags()&endpoint.FailedOutlierCheck == 0 && !m.unejected.IsZero() && now.Sub(m.unejected) >= step {
			m.backoff--
		}
	}
	d.timer.Reset(step)
	d.mu.Unlock()
	for _, h := range changed {
		d.env.OnChange(h)
	}
}

// letIn takes flags off whose time is over, and tells whether it did.
func (d *Detector) letIn(m *monitor, now time.Time) (changed bool) {
	base, most := d.config.duration(d.env.Runtime, baseEjectionTime), d.config.duration(d.env.Runtime, maxEjectionTime)
	flags := m.host.Flags()
	if flags&endpoint.FailedOutlierCheck != 0 && min(base*time.Duration(m.backoff), most)+m.jitter <= now.Sub(m.ejected) {
		d.uneject(m, now)
		changed = true
	}
	if flags&endpoint.DegradedOutlierDetection != 0 && min(base*time.Duration(m.degradations), most) <= now.Sub(m.degradedAt) {
		changed = m.host.SetFlags(0, endpoint.DegradedOutlierDetection) || changed
	}
	return changed
}

// judge compares the last interval's success rates, of responses or of local origin, and adds to changed
// whom it ejects.
func (d *Detector) judge(changed []*endpoint.Host, local bool) []*endpoint.Host {
	get := func(s setting) uint64 { return d.config.get(d.env.Runtime, s) }
	to, byRate, byFailure := &d.external, kindRate, kindFailure
	if local {
		to, byRate, byFailure = &d.local, kindLocalRate, kindLocalFailure
	}
	*to = Thresholds{-1, -1}
	if n := uint64(len(d.monitors)); n < get(successRateHosts) && n < get(failureHosts) {
		return changed
	}
	rated, sampled := d.samples(local, get(successRateVolume), get(failureVolume))
	if len(rated) > 0 && uint64(len(rated)) >= get(successRateHosts) {
		*to = threshold(rated, local, float64(get(successRateStdev))/1000)
		for _, m := range rated {
			if m.rateOf(local) < to.Ejection {
				d.env.Stats.SuccessRate.Inc(0)
				changed = d.found(changed, m, byRate)
			}
		}
	}
	if len(sampled) > 0 && uint64(len(sampled)) >= get(failureHosts) {
		for _, m := range sampled {
			if 100-m.rateOf(local) >= float64(get(failureThreshold)) {
				changed = d.found(changed, m, byFailure)
			}
		}
	}
	return changed
}

func (d *Detector) found(changed []*endpoint.Host, m *monitor, k *kind) []*endpoint.Host {
	k.detected(d.env.Stats).Inc(0)
	if m.host.Flags()&endpoint.FailedOutlierCheck == 0 && d.eject(m, k) {
		return append(changed, m.host)
	}
	return changed
}

// samples are the hosts with enough requests for either way of judging.
func (d *Detector) samples(local bool, rateVolume, failureVolume uint64) (rated, sampled []*monitor) {
	for _, m := range d.order {
		if m.host.Flags()&endpoint.FailedOutlierCheck != 0 {
			continue
		}
		r := &m.external
		if local {
			r = &m.local
		}
		percent, volume, ok := r.percent()
		if !ok {
			continue
		}
		if volume >= min(rateVolume, failureVolume) {
			if local {
				m.localRate = percent
			} else {
				m.externalRate = percent
			}
		}
		if volume >= rateVolume {
			rated = append(rated, m)
		}
		if volume >= failureVolume {
			sampled = append(sampled, m)
		}
	}
	return rated, sampled
}

func (m *monitor) rateOf(local bool) float64 {
	if local {
		return m.localRate
	}
	return m.externalRate
}

// threshold is the mean less factor standard deviations.
func threshold(of []*monitor, local bool, factor float64) Thresholds {
	mean, variance, n := 0.0, 0.0, float64(len(of))
	for _, m := range of {
		mean += m.rateOf(local) / n
	}
	for _, m := range of {
		variance += (m.rateOf(local) - mean) * (m.rateOf(local) - mean) / n
	}
	return Thresholds{Average: mean, Ejection: mean - factor*math.Sqrt(variance)}
}
