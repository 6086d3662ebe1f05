package trillian_test

import (
	"encoding/binary"
	"sync/atomic"
	"testing"

	pb "github.com/google/trillian"
)

// BenchmarkQueueLeaf: 128 callers at a consortium of one member, in one process.
func BenchmarkQueueLeaf(b *testing.B) {
	s := newSite(b, true)
	id := s.make(pb.TreeType_LOG)
	var n atomic.Uint64
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			value := binary.BigEndian.AppendUint64(make([]byte, 292), n.Add(1))
			if _, err := s.log.QueueLeaf(b.Context(), &pb.QueueLeafRequest{LogId: id, Leaf: &pb.LogLeaf{LeafValue: value}}); err != nil {
				b.Error(err)
			}
		}
	})
	s.settled(id, n.Load())
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}
