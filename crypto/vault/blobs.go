package vault

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrNoBlob is what Blobs.Get returns (wrapped or not) for an absent key.
var ErrNoBlob = errors.New("no such blob")

// Blobs is where sealed bytes lie. Stale copies of values may survive anywhere;
// the vault does not depend on their deletion. One store holds one vault.
type Blobs interface {
	// Get returns the value, which the caller may keep and change, or ErrNoBlob.
	Get(key string) ([]byte, error)
	// Put sets a value of at most MaxBlobBytes and does not keep the slice. It is
	// atomic, and durable when it returns nil; after an error it may have
	// happened or not, but not in part.
	Put(key string, value []byte) error
	// Delete removes the key; an absent one is no error.
	Delete(key string) error
	// List returns all keys with this prefix in ascending byte order.
	List(prefix string) ([]string, error)
}

const blobRoot = "vault/"

func generationPrefix(vault [16]byte, generation uint64) string {
	return fmt.Sprintf("%s%s/%016x/", blobRoot, hex.EncodeToString(vault[:]), generation)
}

func (r record) pageKey(page uint32) string {
	return fmt.Sprintf("%sblock/%x/%08x", generationPrefix(r.vault, r.generation), r.block, page)
}

func (r record) deltaKey(sequence uint64) string {
	return fmt.Sprintf("%sdelta/%016x", generationPrefix(r.vault, r.generation), sequence)
}

// blobName is a blob key, taken apart.
type blobName struct {
	key        string
	generation uint64
	sequence   uint64 // of a delta; 0 for a page of a block
}

// parseBlobs takes apart the keys of the store. A key that this vault did not
// write is ErrStale: the store belongs to another vault or to somebody else.
func parseBlobs(keys []string, vault [16]byte) ([]blobName, error) {
	names := make([]blobName, 0, len(keys))
	for _, key := range keys {
		name := blobName{key: key}
		parts := strings.Split(key, "/")
		if len(parts) < 5 || parts[1] != hex.EncodeToString(vault[:]) {
			return nil, because(ErrStale, "the store holds blobs of another vault")
		}
		_, err := fmt.Sscanf(parts[2], "%016x", &name.generation)
		if err == nil && parts[3] == "delta" {
			_, err = fmt.Sscanf(parts[4], "%016x", &name.sequence)
		}
		if err != nil {
			return nil, because(ErrStale, "the store holds a key that is no vault's")
		}
		names = append(names, name)
	}
	return names, nil
}
