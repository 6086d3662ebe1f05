package transport

import (
	"fmt"
	"sync"
	"testing"
)

func BenchmarkCall(b *testing.B) {
	hosts := startHosts(b, 2)
	for _, h := range hosts {
		handle(b, h, "echo", echoLimits, echo)
	}
	for _, callers := range []int{1, 8, 64, 512} {
		for _, size := range []int{300, 64 << 10} {
			b.Run(fmt.Sprintf("callers=%d/bytes=%d", callers, size), func(b *testing.B) {
				request := fill(size)
				b.SetBytes(int64(2 * size))
				b.ReportAllocs()
				var group sync.WaitGroup
				work := make(chan struct{}, callers)
				for range callers {
					group.Go(func() {
						for range work {
							if _, err := hosts[0].Call(b.Context(), hosts[1].ID(), "echo", request); err != nil {
								b.Error(err)
							}
						}
					})
				}
				for b.Loop() {
					work <- struct{}{}
				}
				close(work)
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		}
	}
}
