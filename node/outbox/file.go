package outbox

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/node/store"
)

// A filer writes outcomes in groups, some time after callers have them: steps 7
// and 8 of the order of effects. What is lost in a crash is read from the
// ledger again.
type filer struct {
	wake chan struct{}

	mu      sync.Mutex
	waiting []filing
}

type filing struct {
	sub  *submission
	done *done
}

func (o *Outbox) toFile(f filing) {
	o.file.mu.Lock()
	o.file.waiting = append(o.file.waiting, f)
	o.file.mu.Unlock()
	poke(o.file.wake)
}

func (o *Outbox) fileLoop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-o.file.wake:
		}
		pause := fileEvery
		for {
			timer.Reset(pause)
			select {
			case <-o.ctx.Done():
				return
			case <-timer.C:
			}
			err := o.fileAll()
			if err == nil {
				break
			}
			o.Log.Error("outcomes could not be stored", "err", err)
			pause = fileRetry
		}
	}
}

// fileAll writes what waits. After an error, what was not written waits on.
func (o *Outbox) fileAll() error {
	o.file.mu.Lock()
	all := o.file.waiting
	o.file.waiting = nil
	o.file.mu.Unlock()
	for len(all) > 0 {
		n, err := o.fileSome(all)
		if err != nil {
			o.file.mu.Lock()
			o.file.waiting = append(all, o.file.waiting...)
			o.file.mu.Unlock()
			if errors.Is(err, store.ErrStopped) {
				o.stop(err)
			}
			return err
		}
		all = all[n:]
	}
	return nil
}

// fileSome writes the first of fs, as many as one write holds. The mark of the
// highest number goes with them, before any entry is removed.
func (o *Outbox) fileSome(fs []filing) (n int, err error) {
	var kvs []store.KV
	var entries [][]byte
	var lanes []*lane
	for bytes := 0; n < len(fs) && bytes < fileBytes; n++ {
		l, seq := fs[n].sub.lane, fs[n].sub.seq
		value := canon.Must(fs[n].done)
		bytes += len(value)
		kvs = append(kvs, store.KV{Key: seqKey(prefixDone, l.issuer, seq), Value: value, TTL: fs[n].sub.retention(o.Retention)})
		entries = append(entries, seqKey(prefixPending, l.issuer, seq))
		if !slices.Contains(lanes, l) {
			lanes = append(lanes, l)
		}
	}
	for _, l := range lanes {
		l.mu.Lock()
		high := l.next - 1
		l.mu.Unlock()
		kvs = append(kvs, store.KV{Key: highKey(l.issuer), Value: binary.BigEndian.AppendUint64(nil, high)})
	}
	if err := o.Blobs.PutMany(kvs); err != nil {
		return 0, err
	}
	for _, f := range fs[:n] {
		for _, c := range f.sub.ended() {
			o.forget(c)
		}
	}
	return n, o.Blobs.Delete(entries...)
}

// ended returns the requests that ended in this submission and did not go on to
// another.
func (s *submission) ended() (calls []*call) {
	s.lane.mu.Lock()
	defer s.lane.mu.Unlock()
	for _, c := range s.calls {
		if c.sub == s && c.over.Load() {
			calls = append(calls, c)
		}
	}
	return calls
}
