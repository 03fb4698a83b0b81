package xds

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Client is made of.
type Config struct {
	// Decoders are the types of resource that are understood.
	Decoders []Decoder
	// Open opens streams, by the scheme of a Ref's Source.
	Open map[string]OpenFunc
	// Listeners and Clusters are dynamic_resources: the Source and Timeout of each are looked at. Nil is
	// none.
	Listeners, Clusters *Ref
	// Roots are wanted whatever any resource refers to (RTDS layers).
	Roots []Ref
	// Publish takes each new snapshot, on one goroutine and in order. Snapshots that another one has
	// overtaken may be left out, the last never is. The client opens no stream before the first call,
	// with the static resources, has returned.
	Publish func(*Snapshot)
	// Observe takes what happens to subscriptions, in order. It may neither block nor call the client.
	Observe func(Event)
	Log     *slog.Logger
}

// Client owns the snapshot: it judges what streams bring, and subscribes to what is referred to.
type Client struct {
	cfg      Config
	decoders map[string]*Decoder
	snapshot atomic.Pointer[Snapshot] // written under mu
	dirty    chan struct{}            // a snapshot was stored that nobody has looked at
	quit     chan struct{}
	done     chan struct{}  // the publisher's end
	streams  sync.WaitGroup // waits for closed streams

	mu        sync.Mutex
	feeds     map[feedKey]*feed
	ads       *handle // nil: not opened
	deadlines map[Ref]time.Time
	timer     *time.Timer
	parsed    map[string]ParsedSource
	begun     bool // streams may be opened
	ready     bool // the first clusters are warm
	listening bool // LDS is subscribed to
	started   bool
	closed    bool
}

// New makes a client that has an empty snapshot; Static fills it, Start sets it going.
func New(cfg Config) *Client {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		cfg: cfg, decoders: map[string]*Decoder{}, dirty: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		feeds: map[feedKey]*feed{}, deadlines: map[Ref]time.Time{}, parsed: map[string]ParsedSource{},
	}
	for i := range cfg.Decoders {
		c.decoders[cfg.Decoders[i].URL] = &cfg.Decoders[i]
	}
	c.snapshot.Store(&Snapshot{})
	return c
}

// Snapshot is the current one.
func (c *Client) Snapshot() *Snapshot { return c.snapshot.Load() }

// Start publishes the first snapshot, and then opens streams.
func (c *Client) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.closed {
		return
	}
	c.started = true
	go c.publish() // ended by Close, which waits for it
}

// ClustersReady tells that the clusters of the first CDS response are warm: listeners may be asked for.
func (c *Client) ClustersReady() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready || c.closed {
		return
	}
	c.ready = true
	if c.begun {
		t := c.transaction()
		t.listen()
		t.finish()
	}
}

// Close ends every stream and waits for it. No snapshot is published afterwards.
func (c *Client) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	started := c.started
	for _, f := range c.feeds {
		for _, h := range f.streams {
			c.end(h)
		}
	}
	if c.ads != nil {
		c.end(c.ads)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	close(c.quit)
	if started {
		<-c.done
	}
	c.streams.Wait()
}

// publish is the goroutine that hands snapshots out.
func (c *Client) publish() {
	defer close(c.done)
	last := c.snapshot.Load()
	c.handOut(last)
	c.begin()
	for {
		select {
		case <-c.quit:
			return
		case <-c.dirty:
		}
		if s := c.snapshot.Load(); s != last {
			last = s
			c.handOut(s)
		}
	}
}

func (c *Client) handOut(s *Snapshot) {
	if c.cfg.Publish != nil {
		c.cfg.Publish(s)
	}
}

// begin opens the first subscriptions. CDS is asked for first, and LDS when the clusters are ready: the
// order of Envoy's start.
func (c *Client) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.begun = true
	t := c.transaction()
	if c.cfg.Clusters != nil {
		t.all(ClusterURL, *c.cfg.Clusters)
	} else {
		t.draft.answered(ClusterURL)
	}
	if c.cfg.Listeners == nil {
		t.draft.answered(ListenerURL)
	}
	for _, typed := range t.draft.base.types {
		for _, r := range typed.resources.all() {
			t.acquire(r.Refs)
		}
	}
	t.acquire(c.cfg.Roots)
	if c.ready || c.cfg.Clusters == nil {
		t.listen()
	}
	t.finish()
}

// event tells the observer; what ends an update is followed by the next attempt, as Envoy counts.
func (c *Client) event(e Event) {
	if c.cfg.Observe == nil {
		return
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	c.cfg.Observe(e)
	switch e.Kind {
	case Success, Rejected, Failed, FetchTimeout:
		e.Kind, e.Version, e.Details, e.Took = Attempt, "", "", 0
		c.cfg.Observe(e)
	default:
	}
}
