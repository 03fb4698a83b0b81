package filter

// TryNext is b's TryNext where it has one; else Next would always wait. It is for bodies that are wrapped
// round others.
func TryNext(b Body) (p []byte, ok bool, err error) {
	if t, can := b.(TryBody); can {
		return t.TryNext()
	}
	return nil, false, nil
}

// Complete tells whether all of b has been received, as far as b knows.
func Complete(b Body) bool {
	c, can := b.(CompleteBody)
	return can && c.Complete()
}
