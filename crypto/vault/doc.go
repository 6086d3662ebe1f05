// Package vault keeps a member's secrets so that they can really be destroyed.
//
// Deleting a key from a store does not delete it, and neither does replacing a
// file. The vault therefore encrypts all secrets in a tree of keys under one root
// key, which lives in a slot that is overwritten in place. Shredding writes what
// changes of the tree under fresh keys and overwrites the root key: whatever
// copies of the old blobs exist, on disk, in backups or at an adversary, nothing
// opens them any more.
//
// Invariants: a secret whose Put returned is there until it is shredded; a
// secret whose Shred returned can be read by nobody who did not copy the slot or
// the secret before; a crash at any point loses no other secret and brings none
// back; the blob store never sees an id or a secret in clear; what a call reads
// and writes does not grow with the number of secrets, except through the size of
// a bucket; a damaged bucket stops nobody else's keys.
//
// What it does not do: know what the secrets are for; share them (other
// custodians are the backup of keys, and a slot is never in a backup); notice
// that a blob store silently lost its newest blobs; promise that hardware which
// remaps sectors, a copy-on-write file system or a snapshot of the machine
// forgot the slot's old content. The class of the slot names the means used, so
// that an attestation says no more than is true.
//
// # The tree
//
//	slot → root block → 256 middle blocks → 256 buckets each
//	              └───→ carried page              deltas
//
// A bucket holds entries. Its number is the first 16 bits of HMAC-SHA-256(salt,
// part), the upper eight being the number of its middle block, where part is, of
// an id "p/NAME/…", what ends with its second "/", so that one person's secrets lie
// together, and of any other the whole id.
//
// A put writes one delta under the root key. What was put is pending, in memory
// too, until a rotation moves it into its buckets; a rotation writes what stays
// pending into the carried page. So no delta outlives its root key, and no bucket
// is rewritten for a put alone. Where an id is in several places, the delta with
// the highest sequence counts, then the carried page, then the bucket.
//
// Memory holds what is above the buckets (at most 6.3 MB: 24 kB for each middle block
// that there is) and what is pending (448 KiB, or one put); a bucket is read, used and wiped at each call. All plaintext and
// all keys that the vault holds are in locked memory where the system allows it, and
// zeroed after use. What it cannot wipe: ids, which are strings; copies that the
// ciphers make of a key while they run; and values that a caller was given.
//
// # Slot
//
// Two slots of 4096 bytes each, with the same content at rest. Integers are big
// endian. A slot of zeros is blank.
//
//	   0  "AKVAULT"
//	   7  version, 0x03
//	   8  generation (8 bytes), 1 at creation, one more at each rotation
//	  16  vault id (16 bytes), random, constant
//	  32  root key (32 bytes), fresh for each generation
//	  64  root block id (16 bytes), random; zeros in generation 1, which has none
//	  80  SHA-256 of the root block's blob; zeros in generation 1
//	 112  zeros
//	4064  SHA-256 of the 4064 bytes before
//
// # Blobs
//
// Keys are text; numbers in them are hexadecimal, lower case, fixed width:
//
//	vault/<vault id>/<generation, 16>/root/<blob id>
//	vault/<vault id>/<generation, 16>/middle/<blob id>
//	vault/<vault id>/<generation, 16>/bucket/<blob id>
//	vault/<vault id>/<generation, 16>/carry/<blob id>
//	vault/<vault id>/<generation, 16>/delta/<sequence, 16>
//
// with the generation in which the blob was written. A value is 0x01 ‖ nonce (24
// bytes) ‖ XChaCha20-Poly1305: root block and deltas under the root key, all else
// under the key in the ref that names it. Inside are, in the root block,
//
//	salt (32 bytes), constant ‖ middle block that the next fold begins with (8) ‖ ref of the carried page ‖ 256 refs of middle blocks
//
// in a middle block 256 refs of buckets, and in a bucket, carried page or delta a
// page:
//
//	count (4 bytes) ‖ count × ( id length (2) ‖ id ‖ value length (2) ‖ value ) ‖ zeros to a multiple of 256
//
// with ids strictly ascending. A ref is 96 bytes, zeros where nothing is below:
//
//	 0  generation in which the blob was written (8 bytes)
//	 8  blob id (16 bytes), random
//	24  key (32 bytes), random, never used for another blob
//	56  SHA-256 of the blob (32 bytes)
//	88  entries in it or below it (4 bytes), and their encoded size without counts and zeros (4 bytes)
//
// Associated data, with number 0 but for middle blocks and buckets:
//
//	"akashi/vault/<root, middle, bucket or carry>/v2\n" ‖ vault id ‖ generation (8) ‖ blob id ‖ number (4)
//	"akashi/vault/delta/v2\n" ‖ vault id ‖ generation (8) ‖ root block id ‖ sequence (8) ‖ chain (32)
//
// The chain of the first delta (sequence 1) is the hash of the root block, that of
// any other the SHA-256 of the value before it. A delta sets the entries that it
// lists; nothing but a rotation removes any. So deltas apply in one order only, all
// or none of each, and only in the generation and on the tree that they were
// written for.
//
// # Order of effects
//
// The blob store promises that a blob is put whole or not at all, and durable when
// the call returns (see Blobs). The slot promises durability and nothing about a
// torn write.
//
// Creation, with no blob of any vault present:
//
//	a. write slot 0, generation 1, no root block
//	b. write slot 1, the same
//
// A crash before or in a leaves slot 1 blank and slot 0 blank or torn: Open
// creates again. After a, Open copies slot 0 to slot 1. No Put comes before b.
//
// Put:
//
//	c. put one delta, and with it what PutBeside was given
//
// It is there or not; the caller who saw an error opens the vault and looks.
//
// Rotation: by Shred; by Compact; as a fold, by Fold, which its caller calls when it
// is due (192 KiB pending, or 1,024 deltas); and by a Put that finds 2,048 deltas or
// would make more than 448 KiB pending, while no Fold runs. A fold takes the next
// middle blocks in turn, until at least 64 entries have moved into their buckets, and
// half of what makes it due is left (by a Put: until there is room).
//
//	d. put the buckets that change, in ascending order, then their middle blocks, the carried page if it changes, and the root block, all of generation g+1
//	e. read them back and compare, buckets by their hash while the next are written, all else as Open would; see that both slots still hold g
//	f. overwrite slot 0, fsync, read back
//	g. overwrite slot 1, fsync: the commit point
//	h. delete exactly the blobs that were replaced, and the deltas, in ascending order; with them what ShredBeside was given
//
// Crash before f is complete: slot 0 holds g, or nothing that checks; slot 1
// holds g and wins; slot 0 is written again as g, new blobs are deleted. Between
// f and g: both check, g+1 wins and Open does g and h; should anything that g+1
// wrote be damaged, the vault stays at g (nothing was promised yet). In g: slot 1
// does not check, slot 0 holds g+1; Open does g and h. In h: blobs remain that
// nothing opens; Open deletes them.
//
// Fold does d and e for buckets and middle blocks beside other calls, and h after them;
// only carried page, root block, f and g hold others up. Until then the keys of what it
// wrote are in its memory alone. It took what was pending when it began; what was put
// since, or replaced, stays pending. Where any other rotation came between, be it of a
// shred whose entry it has in a new bucket, it wipes those keys and deletes what it
// wrote: so it brings nothing back. A crash then leaves blobs of a generation that has
// been or is next, to which nothing refers; Open deletes them.
//
// A shred that meets in d a bucket that it cannot read deletes what it wrote, and has
// changed nothing.
//
// After any write that failed the vault stops: what reached the disk is unknown,
// and a later fsync may report success for what was lost. Only Open, by reading,
// finds out.
//
// # What Open refuses
//
// It deletes nothing and writes nothing before root block, middle blocks, carried
// page and all deltas have been read. It refuses slots that both fail their check or
// contradict each other, slots of another version, blank slots beside blobs, blobs
// of another vault, blobs newer than the slots (an old copy of the slot file was put
// back), and damaged or missing blobs. Options.DropDamagedTail gives up the last
// delta if that one is damaged.
//
// Buckets it does not read, but for those of a rotation that was not committed. One
// that is damaged or missing is found when it is needed, or by Verify: calls that
// need it are refused with ErrBlock and change nothing. Any copy of the blob, from a
// backup too, makes it whole as long as it was not rewritten since. Where there is
// none, GiveUp takes it out of the tree, so that an erasure waits no longer for what
// cannot be read.
package vault
