package health

import (
	"sync/atomic"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/endpoint"
)

// monitor counts what becomes of requests to one host. Requests write the atomics; the rest is guarded
// by the detector's lock.
type monitor struct {
	detector *Detector
	host     *endpoint.Host

	fives, gateways, locals atomic.Uint32 // consecutive ones
	external, local         rate

	ejections               int
	backoff                 int
	ejected, unejected      time.Time
	jitter                  time.Duration
	degradedAt              time.Time
	degradations            int
	externalRate, localRate float64
}

// rate counts successes among requests, for the interval that runs and the one before.
type rate struct {
	total, good         atomic.Uint64
	lastTotal, lastGood uint64 // guarded by the detector's lock
}

func (r *rate) turn() {
	r.lastTotal, r.lastGood = r.total.Swap(0), r.good.Swap(0)
}

// percent is the last interval's success rate; ok is false if there were no requests.
func (r *rate) percent() (p float64, volume uint64, ok bool) {
	if r.lastTotal == 0 {
		return 0, 0, false
	}
	return 100 * float64(min(r.lastGood, r.lastTotal)) / float64(r.lastTotal), r.lastTotal, true
}

// PutCode implements endpoint.Monitor.
func (m *monitor) PutCode(code int) {
	m.external.total.Add(1)
	if code < 500 || code > 599 {
		m.external.good.Add(1)
		// Plain loads first: a store of the same zero by every request is a fight for the cache line.
		if m.fives.Load() != 0 {
			m.fives.Store(0)
		}
		if m.gateways.Load() != 0 {
			m.gateways.Store(0)
		}
		return
	}
	d := m.detector
	if code >= 502 && code <= 504 {
		if uint64(m.gateways.Add(1)) == d.config.get(d.env.Runtime, consecutiveGateway) {
			d.consecutive(m, kindGateway, &m.gateways)
		}
	} else {
		m.gateways.Store(0)
	}
	if uint64(m.fives.Add(1)) == d.config.get(d.env.Runtime, consecutive5xx) {
		d.consecutive(m, kind5xx, &m.fives)
	}
}

// PutResult implements endpoint.Monitor.
func (m *monitor) PutResult(r endpoint.Result) {
	if m.detector.config.Split {
		m.putSplit(r)
		return
	}
	switch r {
	case endpoint.RequestSuccess, endpoint.ConnectSuccessFinal:
		m.PutCode(200)
	case endpoint.LocalTimeout:
		m.PutCode(504)
	case endpoint.ConnectFailed:
		m.PutCode(503)
	case endpoint.RequestFailed:
		m.PutCode(500)
	case endpoint.ConnectSuccess: // its request's outcome follows
	}
}

// putSplit tells failures of ours to reach the host from what the host answers.
func (m *monitor) putSplit(r endpoint.Result) {
	switch r {
	case endpoint.ConnectSuccess, endpoint.ConnectSuccessFinal:
		m.localSuccess()
	case endpoint.LocalTimeout, endpoint.ConnectFailed:
		m.local.total.Add(1)
		d := m.detector
		if uint64(m.locals.Add(1)) == d.config.get(d.env.Runtime, consecutiveLocal) {
			d.consecutive(m, kindLocal, &m.locals)
		}
	case endpoint.RequestFailed:
		m.PutCode(503)
	case endpoint.RequestSuccess:
		m.PutCode(200)
		m.localSuccess()
	}
}

func (m *monitor) localSuccess() {
	m.local.total.Add(1)
	m.local.good.Add(1)
	m.locals.Store(0)
}

// PutDegraded implements endpoint.Monitor.
func (m *monitor) PutDegraded() {
	if m.detector.config.Degraded {
		m.detector.degrade(m)
	}
}

// SuccessRates implements endpoint.Monitor.
func (m *monitor) SuccessRates() (external, local float64) {
	m.detector.mu.Lock()
	defer m.detector.mu.Unlock()
	return m.externalRate, m.localRate
}

var _ endpoint.Monitor = (*monitor)(nil)
