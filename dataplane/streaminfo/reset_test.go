package streaminfo

import "testing"

func TestFilterStateOfAReusedInfoDoesNotAllocate(t *testing.T) {
	i := &Info{}
	var v any = Text("x")
	set := func() {
		i.FilterState.Set(StateObject{Name: "a", Value: v})
		i.FilterState.Set(StateObject{Name: "b", Value: v})
		i.Reset()
	}
	set()
	if n := testing.AllocsPerRun(100, set); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if i.Find("a") != nil || len(i.FilterState.Objects()) != 0 {
		t.Error("Reset has left objects")
	}
}
