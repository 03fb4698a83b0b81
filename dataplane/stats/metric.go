package stats

import "sync/atomic"

// Counter only goes up. The zero Counter, and one that stats_matcher excludes, counts nowhere.
type Counter struct {
	g  *group
	at uint16
}

// Inc adds one.
func (c *Counter) Inc(w Worker) {
	if c.g != nil {
		c.g.cell(w, c.at).Add(1)
	}
}

// Add adds n. Adding nothing is enough for the counter to be in use.
func (c *Counter) Add(w Worker, n uint64) {
	switch {
	case c.g == nil:
	case n == 0:
		c.g.markUsed(c.at)
	default:
		c.g.cell(w, c.at).Add(n)
	}
}

// Value is the sum over all workers.
func (c *Counter) Value() uint64 {
	if c.g == nil {
		return 0
	}
	return c.g.sum(c.at)
}

// gaugeCells are a gauge's two cells: what was added and what was taken away. Their difference is
// the value; a gauge is in use (Envoy's "usedonly") once either is not zero.
const gaugeCells = 2

// Gauge goes up and down. The zero Gauge counts nowhere.
type Gauge struct {
	g  *group
	at uint16
}

// Inc adds one.
func (g *Gauge) Inc(w Worker) { g.Add(w, 1) }

// Dec takes one away.
func (g *Gauge) Dec(w Worker) { g.Sub(w, 1) }

// Add adds n. Adding nothing is enough for the gauge to be in use.
func (g *Gauge) Add(w Worker, n uint64) {
	switch {
	case g.g == nil:
	case n == 0:
		g.g.markUsed(g.at)
	default:
		g.g.cell(w, g.at).Add(n)
	}
}

// Sub takes n away.
func (g *Gauge) Sub(w Worker, n uint64) {
	if g.g != nil {
		g.g.cell(w, g.at+1).Add(n)
	}
}

// Set sets the value; only a gauge that is never added to may be set, and by one goroutine at a time.
func (g *Gauge) Set(v uint64) {
	if g.g != nil {
		g.g.cell(0, g.at+1).Store(1)
		g.g.cell(0, g.at).Store(v + 1)
	}
}

// Value is the difference over all workers.
func (g *Gauge) Value() uint64 {
	if g.g == nil {
		return 0
	}
	return g.g.gauge(g.at)
}

func (g *group) gauge(at uint16) uint64 {
	// A decrement may be seen before its increment on another shard: never show less than nothing.
	down := g.sum(at + 1)
	up := g.sum(at)
	if up < down {
		return 0
	}
	return up - down
}

// TextReadout is a string.
type TextReadout struct {
	g  *group
	at uint16
}

// Set sets the text.
func (t *TextReadout) Set(s string) {
	if t.g != nil {
		t.g.text(t.at).Store(&s)
	}
}

// Value is the text, or "".
func (t *TextReadout) Value() string {
	if t.g == nil {
		return ""
	}
	if s := t.g.text(t.at).Load(); s != nil {
		return *s
	}
	return ""
}

func (g *group) text(at uint16) *atomic.Pointer[string] {
	texts := g.texts.Load()
	if texts == nil {
		made := make([]atomic.Pointer[string], g.key.desc.texts)
		if !g.texts.CompareAndSwap(nil, &made) {
			return g.text(at)
		}
		texts = &made
	}
	return &(*texts)[at]
}

// Codes counts responses by status code and class under Envoy's names: PREFIX_200, PREFIX_2xx and
// PREFIX_completed, each made when it first occurs.
type Codes struct {
	scope   *Scope
	prefix  string
	classes [6]atomic.Pointer[Counter]
	codes   [6]atomic.Pointer[[100]atomic.Pointer[Counter]]
	perCode bool
}

// NewCodes makes the counters of scope called prefix + "_200" and so on; prefix is "upstream_rq" or
// "downstream_rq". Single codes are counted if perCode is set.
func NewCodes(scope *Scope, prefix string, perCode bool) *Codes {
	c := &Codes{scope: scope, prefix: prefix, perCode: perCode}
	return c
}

// Inc counts a response with this status.
func (c *Codes) Inc(w Worker, status int) {
	class := status / 100
	if class < 1 || class > 5 {
		return
	}
	n := c.classes[class].Load()
	if n == nil {
		n = c.scope.Counter(c.prefix + "_" + string(rune('0'+class)) + "xx")
		c.classes[class].Store(n)
	}
	n.Inc(w)
	if c.perCode {
		c.code(class, status).Inc(w)
	}
}

func (c *Codes) code(class, status int) *Counter {
	page := c.codes[class].Load()
	if page == nil {
		page = new([100]atomic.Pointer[Counter])
		if !c.codes[class].CompareAndSwap(nil, page) {
			page = c.codes[class].Load()
		}
	}
	n := page[status%100].Load()
	if n == nil {
		n = c.scope.Counter(c.prefix + "_" + itoa3(status))
		page[status%100].Store(n)
	}
	return n
}

func itoa3(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}
