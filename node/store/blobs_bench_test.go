package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

func BenchmarkBlobsPut(b *testing.B) {
	value := bytes.Repeat([]byte("v"), 500)
	for _, writers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			blobs := openTestBlobs(b, b.TempDir())
			work := make(chan int, writers)
			var group sync.WaitGroup
			for range writers {
				group.Go(func() {
					for i := range work {
						if err := blobs.Put(fmt.Appendf(nil, "key/%016d", i), value); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := 0; b.Loop(); i++ {
				work <- i
			}
			close(work)
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
		})
	}
}

func BenchmarkBlobsUpdate(b *testing.B) {
	blobs := openTestBlobs(b, b.TempDir())
	b.SetParallelism(256)
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Appendf(nil, "key/%d", rand.Uint64())
		for pb.Next() {
			if err := blobs.Update(func(tx *BlobTx) error {
				value, _, err := tx.Get(key)
				if err != nil {
					return err
				}
				return tx.Put(key, append(value[:0], "counter"...))
			}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

func BenchmarkBlobsGet(b *testing.B) {
	blobs := openTestBlobs(b, b.TempDir())
	for start := 0; start < 100_000; start += 5000 {
		var set []KV
		for i := range 5000 {
			set = append(set, KV{Key: testKey(start + i), Value: testValue(i)})
		}
		if err := blobs.PutMany(set); err != nil {
			b.Fatal(err)
		}
	}
	for _, load := range []bool{false, true} {
		b.Run(fmt.Sprintf("writing=%v", load), func(b *testing.B) {
			done := make(chan struct{})
			var writers sync.WaitGroup
			if load {
				for w := range 16 {
					writers.Go(func() {
						for {
							select {
							case <-done:
								return
							default:
								blobs.Put(fmt.Appendf(nil, "w/%d", w), testValue(w))
							}
						}
					})
				}
			}
			for b.Loop() {
				if _, found, err := blobs.Get(testKey(rand.IntN(100_000))); !found || err != nil {
					b.Fatal(found, err)
				}
			}
			close(done)
			writers.Wait()
		})
	}
}
