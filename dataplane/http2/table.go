package http2

// table finds the open streams by id: open addressing, for ids come in order.
type table struct {
	slots []*stream // a power of two, at most three quarters full
	n     int
}

func (t *table) slot(id uint32) int { return int(id>>1) & (len(t.slots) - 1) }

// get returns the stream of an id, or nil.
func (t *table) get(id uint32) *stream {
	if t.n == 0 {
		return nil
	}
	for i := t.slot(id); t.slots[i] != nil; i = (i + 1) & (len(t.slots) - 1) {
		if t.slots[i].id == id {
			return t.slots[i]
		}
	}
	return nil
}

func (t *table) put(st *stream) {
	if 4*(t.n+1) > 3*len(t.slots) {
		old := t.slots
		t.slots = make([]*stream, max(2*len(old), 16))
		for _, s := range old {
			if s != nil {
				t.insert(s)
			}
		}
	}
	t.insert(st)
	t.n++
}

func (t *table) insert(st *stream) {
	i := t.slot(st.id)
	for t.slots[i] != nil {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = st
}

// del takes st out, and moves those behind it that it was in the way of.
func (t *table) del(st *stream) {
	if t.n == 0 {
		return
	}
	mask := len(t.slots) - 1
	i := t.slot(st.id)
	for t.slots[i] != st {
		if t.slots[i] == nil {
			return
		}
		i = (i + 1) & mask
	}
	t.n--
	for j := (i + 1) & mask; t.slots[j] != nil; j = (j + 1) & mask {
		home := t.slot(t.slots[j].id)
		if (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = nil
	if t.n == 0 && len(t.slots) > 256 {
		t.slots = nil
	}
}

// each calls f for every stream; f may not change the table.
func (t *table) each(f func(*stream)) {
	for _, st := range t.slots {
		if st != nil {
			f(st)
		}
	}
}

// all returns every stream.
func (t *table) all() []*stream {
	list := make([]*stream, 0, t.n)
	t.each(func(st *stream) { list = append(list, st) })
	return list
}

// resets remembers the streams that we reset last, whose frames may still be on their way.
type resets struct {
	ids  []uint32 // a ring once it is full
	next int
	old  uint32 // the highest that was forgotten
}

const maxResets = 1024

func (r *resets) add(id uint32) {
	if len(r.ids) < maxResets {
		r.ids = append(r.ids, id)
		return
	}
	r.old = max(r.old, r.ids[r.next])
	r.ids[r.next] = id
	r.next = (r.next + 1) % maxResets
}

// has tells whether we reset the stream, or may have.
func (r *resets) has(id uint32) bool {
	if id <= r.old {
		return true
	}
	for _, other := range r.ids {
		if other == id {
			return true
		}
	}
	return false
}
