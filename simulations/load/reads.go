package load

import (
	"context"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Reads measures inclusion proofs a second: clients ask the nodes for proofs of
// random leaves below size.
func Reads(ctx context.Context, o Options, size uint64) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	r := &run{Options: o, begin: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	r.cancel = cancel
	hc := newDirect()
	var wg sync.WaitGroup
	for i := range o.Clients {
		t := o.Members[i%len(o.Members)]
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				err := readProof(ctx, hc, t, mrand.Uint64N(size), size)
				if ctx.Err() != nil {
					return
				}
				r.add(time.Since(began), 1, 0, err)
			}
		})
	}
	wg.Wait()
	return r.report(), nil
}

func readProof(ctx context.Context, hc *direct, t Target, index, size uint64) error {
	url := fmt.Sprintf("%s/v1/proofs/inclusion?index=%d&size=%d", t.URL, index, size)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.Token)
	res, err := hc.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", res.Status, b)
	}
	return err
}
