package runtime

import (
	"testing"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

func TestLaterLayersWin(t *testing.T) {
	l := New(Layer{Name: "global config", Values: map[string]string{"a": "1", "b": "false"}}, Layer{Name: "admin", Admin: true})
	if l.Uint("a", 9) != 1 || l.Bool("b", true) || l.Uint("b", 9) != 9 || !l.Bool("none", true) {
		t.Error("first layer")
	}
	if !l.Modify(map[string]string{"a": "2", "c": "x"}) || l.Uint("a", 9) != 2 {
		t.Error("admin layer wins")
	}
	if v := l.All()["a"]; v.Final != "2" || v.Layers[0] != "1" || v.Layers[1] != "2" {
		t.Errorf("%+v", v)
	}
	l.Modify(map[string]string{"a": ""})
	if l.Uint("a", 9) != 1 || New(Layer{Name: "x"}).Modify(nil) {
		t.Error("an empty value removes; without an admin layer nothing can be modified")
	}
}

func TestFractions(t *testing.T) {
	l := New(Layer{Name: "admin", Admin: true})
	f := CompileFraction(&corepb.RuntimeFractionalPercent{RuntimeKey: "k", DefaultValue: &typepb.FractionalPercent{Numerator: 5, Denominator: typepb.FractionalPercent_TEN_THOUSAND}})
	if !f.Enabled(l, 4) || f.Enabled(l, 5) || !f.Enabled(l, 10_004) {
		t.Error("default value")
	}
	l.Modify(map[string]string{"k": "50"})
	if !f.Enabled(l, 49) || f.Enabled(l, 50) {
		t.Error("a number is percents")
	}
	l.Modify(map[string]string{"k": "{numerator: 3, denominator: MILLION}"})
	if !f.Enabled(l, 2) || f.Enabled(l, 3) || !f.Enabled(l, 1_000_001) {
		t.Error("an object is a FractionalPercent")
	}
	if !CompileFraction(nil).Enabled(nil, 99) || CompilePercent(nil).Roll(nil) {
		t.Error("no RuntimeFractionalPercent is always, no FractionalPercent never")
	}
}
