package filter

// Become puts now in the place of was among the stream's filters. A filter whose factory gives every
// stream the same value calls it where it finds something to do that needs state, so that the streams
// for which there is nothing to do pay nothing.
func (s *Stream) Become(was, now HTTP) {
	for i, f := range s.filters {
		if f == was {
			s.filters[i] = now
			return
		}
	}
}
