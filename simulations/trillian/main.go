// Command trillian measures a log that speaks Trillian's protocol, ours or
// Trillian's own, in the same way: callers in closed loops queue leaves until the
// time is over, and the clock stops when the log's root covers every leaf that was
// acknowledged. It makes a tree for each run.
//
//	trillian -addr HOST:PORT [-callers 128] [-duration 10s] [-bytes 300]
//
// It is a module of its own, with Trillian's server and signer as tools, so that
// what they need never enters the binary.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/client/backoff"
	"github.com/google/trillian/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
)

// perConn is how many callers share a connection.
const perConn = 32

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "gRPC `HOST:PORT`")
	callers := flag.Int("callers", 128, "callers at once")
	duration := flag.Duration("duration", 10*time.Second, "how long leaves are queued")
	sizeBytes := flag.Int("bytes", 300, "size of a leaf")
	flag.Parse()
	if *callers < 1 || *sizeBytes < 16 || *duration <= 0 {
		fmt.Fprintln(os.Stderr, "at least one caller, 16 bytes, and some time")
		os.Exit(2)
	}
	if err := run(context.Background(), *addr, *callers, *duration, *sizeBytes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, callers int, duration time.Duration, sizeBytes int) error {
	var logs []trillian.TrillianLogClient
	for i := 0; i < callers; i += perConn {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		logs = append(logs, trillian.NewTrillianLogClient(conn))
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	tree, err := client.CreateAndInitTree(ctx, &trillian.CreateTreeRequest{Tree: &trillian.Tree{TreeType: trillian.TreeType_LOG,
		TreeState: trillian.TreeState_ACTIVE, DisplayName: "bench", MaxRootDuration: durationpb.New(0)}}, trillian.NewTrillianAdminClient(conn), logs[0])
	if err != nil {
		return err
	}
	began := time.Now()
	took, err := fill(ctx, logs, tree.TreeId, callers, began.Add(duration), sizeBytes)
	if err != nil {
		return err
	}
	root, err := covered(ctx, logs[0], tree.TreeId, uint64(len(took)))
	if err != nil {
		return err
	}
	all := time.Since(began)
	slices.Sort(took)
	at := func(q int) float64 { return float64(took[(len(took)-1)*q/100].Microseconds()) / 1000 }
	fmt.Printf("%.0f leaves/s in the root (%d in %.1f s), QueueLeaf p50 %.1f ms, p99 %.1f ms, the root came %.0f ms after the last answer\n",
		float64(root)/all.Seconds(), root, all.Seconds(), at(50), at(99), float64((all - duration).Milliseconds()))
	return nil
}

// fill queues leaves, each one of its own, and returns how long each call took.
func fill(ctx context.Context, logs []trillian.TrillianLogClient, tree int64, callers int, until time.Time, sizeBytes int) ([]time.Duration, error) {
	var (
		mu    sync.Mutex
		all   []time.Duration
		first error
		wg    sync.WaitGroup
	)
	for c := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			took, err := loop(ctx, logs[c/perConn], tree, uint64(c), until, sizeBytes)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if first == nil {
				first = err
			}
		}()
	}
	wg.Wait()
	return all, first
}

func loop(ctx context.Context, log trillian.TrillianLogClient, tree int64, caller uint64, until time.Time, sizeBytes int) ([]time.Duration, error) {
	var took []time.Duration
	for n := uint64(0); time.Now().Before(until); n++ {
		value := make([]byte, sizeBytes)
		rand.Read(value)
		binary.BigEndian.PutUint64(value, caller)
		binary.BigEndian.PutUint64(value[8:], n)
		began := time.Now()
		again := backoff.Backoff{Min: 10 * time.Millisecond, Max: time.Second, Factor: 2, Jitter: true}
		err := again.Retry(ctx, func() error {
			_, err := log.QueueLeaf(ctx, &trillian.QueueLeafRequest{LogId: tree, Leaf: &trillian.LogLeaf{LeafValue: value}})
			return err
		})
		if err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// covered waits until the tree's root has size leaves.
func covered(ctx context.Context, log trillian.TrillianLogClient, tree int64, size uint64) (uint64, error) {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		resp, err := log.GetLatestSignedLogRoot(ctx, &trillian.GetLatestSignedLogRootRequest{LogId: tree})
		if err != nil {
			return 0, err
		}
		var root types.LogRootV1
		if err := root.UnmarshalBinary(resp.SignedLogRoot.LogRoot); err != nil {
			return 0, err
		}
		if root.TreeSize >= size {
			return root.TreeSize, nil
		}
	}
	return 0, fmt.Errorf("the root does not cover %d leaves after two minutes", size)
}
