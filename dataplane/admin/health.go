package admin

// serveHealthcheckFail is /healthcheck/fail.
func (a *Admin) serveHealthcheckFail(_ *request, r *reply) { a.setFailing(r, true) }

// serveHealthcheckOK is /healthcheck/ok.
func (a *Admin) serveHealthcheckOK(_ *request, r *reply) { a.setFailing(r, false) }

func (a *Admin) setFailing(r *reply, failing bool) {
	if a.o.SetFailing == nil || a.main(r, func() { a.o.SetFailing(failing) }) {
		r.ok()
	}
}

// serveDrainListeners is /drain_listeners.
func (a *Admin) serveDrainListeners(q *request, r *reply) {
	d := Drain{Graceful: q.has("graceful"), InboundOnly: q.has("inboundonly"), SkipExit: q.has("skip_exit")}
	if a.o.Drain == nil || a.main(r, func() { a.o.Drain(d) }) {
		r.ok()
	}
}

// serveQuit is /quitquitquit. The answer goes out first.
func (a *Admin) serveQuit(_ *request, r *reply) {
	r.after = a.o.Quit
	r.ok()
}

// serveReopenLogs is /reopen_logs.
func (a *Admin) serveReopenLogs(_ *request, r *reply) {
	if a.o.Reopen != nil {
		a.o.Reopen()
	}
	r.ok()
}

// serveContention is /contention: mutexes are not traced (/debug/pprof/mutex does that here).
func (a *Admin) serveContention(_ *request, r *reply) {
	r.text("Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.")
}
