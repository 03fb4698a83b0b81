package admin

import (
	"net/http"
)

// serveRuntime is /runtime: each key's value in every layer, and the one in force.
func (a *Admin) serveRuntime(_ *request, r *reply) {
	r.contentType = jsonType
	layers, all := a.o.Runtime.LayerNames(), a.o.Runtime.All()
	keys := sortedKeys(all)
	p := newPrinter(r)
	texts := func(s []string) { p.list('[', ']', len(s), func(i int) { p.text(s[i]) }) }
	p.list('{', '}', 2, func(i int) {
		if i == 0 {
			p.key("layers")
			texts(layers)
			return
		}
		p.key("entries")
		p.list('{', '}', len(keys), func(i int) {
			v := all[keys[i]]
			p.key(keys[i])
			p.list('{', '}', 2, func(i int) {
				if i == 0 {
					p.key("layer_values")
					texts(v.Layers)
					return
				}
				p.key("final_value")
				p.text(v.Final)
			})
		})
	})
	_ = p.end()
}

// serveRuntimeModify is /runtime_modify.
func (a *Admin) serveRuntimeModify(q *request, r *reply) {
	if len(q.query) == 0 {
		r.fail(http.StatusBadRequest, "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"+
			"       or send the parameters as form values\n"+
			"use an empty value to remove a previously added override")
		return
	}
	set := map[string]string{}
	for _, p := range q.query {
		if _, again := set[p.name]; !again {
			set[p.name] = p.value
		}
	}
	if !a.o.Runtime.Modify(set) {
		r.fail(http.StatusServiceUnavailable, "No admin layer specified")
		return
	}
	r.ok()
}
