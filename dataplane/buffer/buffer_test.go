package buffer

import "testing"

func TestBufferMovesUnreadBytesToTheFront(t *testing.T) {
	b := Get(Small)
	b.Wrote(copy(b.Space(), "hello world"))
	b.Consume(6)
	b.W += copy(b.B[b.W:], make([]byte, Small))
	if len(b.Space()) != 6 || string(b.Bytes()[:5]) != "world" || b.R != 0 {
		t.Errorf("space %d, starts %q", len(b.Space()), b.Bytes()[:5])
	}
	g := Grown(b, Large)
	if g.Len() != Small-6 || len(g.B) != Large || string(g.Bytes()[:5]) != "world" {
		t.Errorf("grown: %d of %d", g.Len(), len(g.B))
	}
	g.Consume(g.Len())
	if g.R != 0 || g.W != 0 {
		t.Error("an empty buffer starts at its front again")
	}
	Put(g)
	if big := Get(Large + 1); len(big.B) != Large+1 {
		t.Error("sizes over Large are made to measure")
	}
}
