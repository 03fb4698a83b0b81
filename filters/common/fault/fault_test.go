package fault

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-proxy/pillion/dataplane/filter"
	"github.com/pillion-proxy/pillion/dataplane/header"
)

func body(n int) *filter.BytesBody {
	b := &filter.BytesBody{}
	b.Set(make([]byte, n), nil)
	return b
}

func TestThrottleSendsASliceEverySixteenthOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		// 16 KiB/s are slices of 1 KiB: 4.5 of them take four sixteenths after the first.
		b := NewThrottle(context.Background(), body(4608), 16)
		n, pieces := 0, 0
		for {
			p, err := b.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n += len(p)
			pieces++
		}
		took := time.Since(start)
		if n != 4608 || pieces != 5 || took < 249*time.Millisecond || took > 252*time.Millisecond {
			t.Errorf("%d bytes in %d pieces took %v", n, pieces, took)
		}
	})
}

func TestThrottleIsWokenByClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewThrottle(context.Background(), body(10<<10), 1)
		if _, err := b.Next(); err != nil {
			t.Fatal(err)
		}
		got := make(chan error)
		go func() {
			_, err := b.Next()
			got <- err
		}()
		synctest.Wait()
		_ = b.Close()
		if err := <-got; err != filter.ErrBodyClosed {
			t.Error(err)
		}
	})
}

func TestHeadersAskForLessThanConfigured(t *testing.T) {
	h := &header.Map{}
	h.Add(DelayPercentHeader, "0")
	d := &Delay{Percent: Percent{fraction: CompilePercent(nil, "").fraction, header: DelayPercentHeader}}
	d.Percent.fraction.Numerator = 100
	if d.Percent.Roll(nil, "", h) {
		t.Error("0 percent")
	}
	h.Set(DelayPercentHeader, "200")
	if !d.Percent.Roll(nil, "", h) {
		t.Error("more than configured is what is configured")
	}
	h.Add(DelayHeader, "99999999999999999999")
	if _, ok := d.Duration(h); ok {
		t.Error("a number that is none")
	}
}
