package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoBlob is what Blobs.Get returns (wrapped or not) for an absent key.
var ErrNoBlob = errors.New("no such blob")

// Blobs is where sealed bytes lie. Stale copies of values may survive anywhere;
// the vault does not depend on their deletion. One store holds one vault.
type Blobs interface {
	// Get returns the value, which the caller may keep and change, or ErrNoBlob.
	Get(key string) ([]byte, error)
	// Put sets values of at most MaxBlobBytes each (those beside: 1 MiB) and MaxPutBytes
	// together and keeps no slice. They are durable when it returns nil; after an error
	// each may have been set or not, but none in part. Who uses PutBeside relies on more:
	// that all are set or none.
	Put(blobs ...Blob) error
	// Delete removes the keys, at most 4,096; an absent one is no error. After an
	// error each may have been removed or not. Those that are not OwnKey are the caller's.
	Delete(keys ...string) error
	// List returns all keys with this prefix in ascending byte order.
	List(prefix string) ([]string, error)
}

// Blob is one sealed value and its key.
type Blob struct {
	Key    string
	Value  []byte
	Beside bool // it was given to PutBeside: the key is the caller's, not the vault's
}

const blobRoot = "vault/"

// OwnKey reports whether a key is one of the vault's.
func OwnKey(key string) bool { return strings.HasPrefix(key, blobRoot) }

func blobKey(vault [16]byte, generation uint64, kind string) string {
	return fmt.Sprintf("%s%x/%016x/%s/", blobRoot, vault, generation, kind)
}

func (r record) deltaKey(sequence uint64) string {
	return fmt.Sprintf("%s%016x", blobKey(r.vault, r.root.generation, "delta"), sequence)
}

// blobName is a blob key, taken apart.
type blobName struct {
	key        string
	generation uint64
	sequence   uint64 // of a delta; 0 for anything else
}

var blobKinds = []string{"bucket", "carry", "delta", "middle", "root"}

// parseBlobs takes apart the keys of the store. A key that this vault did not
// write is ErrStale: the store belongs to another vault or to somebody else.
func parseBlobs(keys []string, vault [16]byte) ([]blobName, error) {
	names := make([]blobName, 0, len(keys))
	for _, key := range keys {
		parts := strings.Split(key, "/")
		if len(parts) != 5 || parts[1] != hex.EncodeToString(vault[:]) {
			return nil, because(ErrStale, "the store holds blobs of another vault")
		}
		name := blobName{key: key}
		_, err := fmt.Sscanf(parts[2], "%016x", &name.generation)
		if err == nil && parts[3] == "delta" {
			_, err = fmt.Sscanf(parts[4], "%016x", &name.sequence)
		}
		if err != nil || !slices.Contains(blobKinds, parts[3]) {
			return nil, because(ErrStale, "the store holds a key that is no vault's")
		}
		names = append(names, name)
	}
	return names, nil
}

// writer puts blobs in batches that the store takes, one after the other, while the
// next one is made, and reads pages back. Whoever has one calls flush or wait before
// anything else is done.
type writer struct {
	blobs   Blobs
	batch   []Blob
	hashes  [][32]byte // of these, zeros where check reads them back
	bytes   int
	sent    chan error // of the batch that is on its way, nil where none is
	written []string   // keys of all batches that were sent
}

func (w *writer) put(b Blob, hash [32]byte) error {
	if b.Key == "" {
		return nil
	}
	if size := len(b.Key) + len(b.Value); w.bytes+size > MaxPutBytes {
		if err := w.send(); err != nil {
			return err
		}
	}
	w.batch, w.hashes, w.bytes = append(w.batch, b), append(w.hashes, hash), w.bytes+len(b.Key)+len(b.Value)
	return nil
}

// send begins to put the batch, once the one before is there.
func (w *writer) send() error {
	if err := w.wait(); err != nil {
		return err
	}
	batch, hashes, sent := w.batch, w.hashes, make(chan error, 1)
	w.batch, w.hashes, w.bytes, w.sent = nil, nil, 0, sent
	for _, b := range batch {
		w.written = append(w.written, b.Key)
	}
	go func() { sent <- putAndCompare(w.blobs, batch, hashes) }()
	return nil
}

// putAndCompare puts blobs and sees that the store holds what has these hashes.
// Errors: ErrBlock; else I/O.
func putAndCompare(blobs Blobs, batch []Blob, hashes [][32]byte) error {
	if err := blobs.Put(batch...); err != nil {
		return ioFault("put blobs", err)
	}
	for i, b := range batch {
		if hashes[i] == [32]byte{} {
			continue
		}
		got, err := blobs.Get(b.Key)
		switch {
		case errors.Is(err, ErrNoBlob) || err == nil && sha256.Sum256(got) != hashes[i]:
			return because(ErrBlock, "a blob reads back differently")
		case err != nil:
			return ioFault("read blob back", err)
		}
	}
	return nil
}

// wait returns when no batch is on its way.
func (w *writer) wait() error {
	if w.sent == nil {
		return nil
	}
	err := <-w.sent
	w.sent = nil
	return err
}

// flush puts what is left.
func (w *writer) flush() error {
	if len(w.batch) > 0 {
		if err := w.send(); err != nil {
			return err
		}
	}
	return w.wait()
}

// remove deletes keys in ascending order.
func remove(blobs Blobs, keys []string) error {
	slices.Sort(keys)
	for part := range slices.Chunk(keys, deleteAtOnce) {
		if err := blobs.Delete(part...); err != nil {
			return ioFault("delete blobs", err)
		}
	}
	return nil
}
