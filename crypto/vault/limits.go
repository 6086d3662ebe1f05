package vault

const (
	// DefaultMaxEntries is 1,000,000 people with two secrets, a handle and a lookup each,
	// and the two entries that name the latter at the person.
	DefaultMaxEntries = 6_000_000
	// MaxIDBytes bounds an id.
	MaxIDBytes = 512
	// MaxValueBytes bounds one secret.
	MaxValueBytes = 8 << 10
	// MaxBlobBytes bounds every value given to Blobs.Put, and so what one Put may
	// add (about 3,500 entries of 140 bytes) and what one bucket holds. Small enough
	// to stay inline in an LSM store and far below its transaction limit.
	MaxBlobBytes = 512 << 10
	// MaxPutBytes bounds the keys and values that one Blobs.Put is given together.
	MaxPutBytes = 2 << 20

	deleteAtOnce   = 4096    // keys in one Blobs.Delete
	maxBesideBytes = 1 << 20 // given to PutBeside, besides entries
)

// shape is what a test may make small.
type shape struct {
	fan          int // refs in a root or middle block: part of the format
	foldAt       int // pending bytes from which on Fold is due
	pendingBytes int // more waits for a Fold that runs, or is folded by the next Put, so that a rotation stays small
	deltas       int // likewise, so that Open stays quick
	minFold      int // entries that a fold moves at least, if there are so many
}

var usual = shape{fan: 256, foldAt: 192 << 10, pendingBytes: 448 << 10, deltas: 2048, minFold: 64}
