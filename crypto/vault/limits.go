package vault

const (
	// DefaultMaxEntries is 20,000 people with twelve entries each: four for the
	// person and one service, and eight further months or services. Beyond it a
	// shred, which holds up everything else, would take longer than a person
	// should wait.
	DefaultMaxEntries = 240_000
	// MaxIDBytes bounds an id.
	MaxIDBytes = 512
	// MaxValueBytes bounds one secret.
	MaxValueBytes = 8 << 10
	// MaxBlobBytes bounds every value given to Blobs.Put, and so what one Put may
	// add: about 3,500 entries of 140 bytes. Small enough to stay inline in an LSM
	// store and far below its transaction limit.
	MaxBlobBytes = 512 << 10

	maxBlockBytes = 64 << 20  // plaintext of all entries
	pageBytes     = 256 << 10 // plaintext at which a block page is closed
	maxPages      = 2 * maxBlockBytes / pageBytes
	maxDeltas     = 1024 // then a Put rotates first, so that Open stays quick
)
