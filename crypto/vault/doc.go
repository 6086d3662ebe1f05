// Package vault keeps a member's secrets so that they can really be destroyed.
//
// Deleting a key from a store does not delete it, and neither does replacing a
// file. The vault therefore encrypts all secrets under one root key, which lives
// in a slot that is overwritten in place. Shredding writes what survives under a
// fresh root key and overwrites the old one: whatever copies of the old blobs
// exist, on disk, in backups or at an adversary, nothing opens them any more.
//
// Invariants: a secret whose Put returned is there until it is shredded; a
// secret whose Shred returned can be read by nobody who did not copy the slot or
// the secret before; a crash at any point loses no other secret and brings none
// back; the blob store never sees an id or a secret in clear.
//
// What it does not do: know what the secrets are for; share them (other
// custodians are the backup of keys, and a slot is never in a backup); notice
// that a blob store silently lost its newest blobs; promise that hardware which
// remaps sectors, a copy-on-write file system or a snapshot of the machine
// forgot the slot's old content. The class of the slot names the means used, so
// that an attestation says no more than is true.
//
// This version keeps all secrets in one sealed block, rewritten by each shred,
// and holds them in memory while open. It refuses to grow beyond 240,000 entries,
// which is twelve for each of 20,000 people.
//
// # Slot
//
// Two slots of 4096 bytes each, with the same content at rest. Integers are big
// endian. A slot of zeros is blank.
//
//	   0  "AKVAULT"
//	   7  version, 0x01
//	   8  generation (8 bytes), 1 at creation, one more at each rotation
//	  16  vault id (16 bytes), random, constant
//	  32  root key (32 bytes), fresh for each generation
//	  64  block id (16 bytes), random for each rotation
//	  80  pages in the block (4 bytes)
//	  84  zeros (4 bytes)
//	  88  block hash (32 bytes)
//	 120  zeros
//	4064  SHA-256 of the 4064 bytes before
//
// # Blobs
//
// Keys are text; numbers in them are hexadecimal, lower case, fixed width:
//
//	vault/<vault id>/<generation, 16>/block/<block id>/<page, 8>
//	vault/<vault id>/<generation, 16>/delta/<sequence, 16>
//
// A value is a page: 0x01 ‖ nonce (24 bytes) ‖ XChaCha20-Poly1305 under the
// root key. Inside:
//
//	count (4 bytes) ‖ count × ( id length (2) ‖ id ‖ value length (2) ‖ value ) ‖ zeros to a multiple of 256
//
// with ids strictly ascending, in a block also from page to page. Associated data:
//
//	"akashi/vault/block/v1\n" ‖ vault id ‖ generation (8) ‖ block id ‖ page (4) ‖ pages (4)
//	"akashi/vault/delta/v1\n" ‖ vault id ‖ generation (8) ‖ block id ‖ sequence (8) ‖ chain (32)
//
// The block hash is SHA-256 over "akashi/vault/block/v1\n" and the SHA-256 of each
// page's value in order. The chain of the first delta (sequence 1) is the block
// hash, that of any other the SHA-256 of the value before it. A delta sets the
// entries that it lists; nothing but a rotation removes any. So deltas apply in
// one order only, all or none of each, and only in the generation and on the
// block that they were written for.
//
// # Order of effects
//
// The blob store promises that a Put is atomic and durable when it returns
// (see Blobs). The slot promises durability and nothing about a torn write.
//
// Creation, with no blob of any vault present:
//
//	a. write slot 0, generation 1, no pages
//	b. write slot 1, the same
//
// A crash before or in a leaves slot 1 blank and slot 0 blank or torn: Open
// creates again. After a, Open copies slot 0 to slot 1. No Put comes before b.
//
// Put:
//
//	c. put one delta
//
// It is there or not; the caller who saw an error opens the vault and looks.
//
// Rotation, by Shred and by a Put that finds 1,024 deltas:
//
//	d. put the pages of the new block, generation g+1
//	e. read them back and compare
//	f. overwrite slot 0, fsync, read back
//	g. overwrite slot 1, fsync: the commit point
//	h. delete the old block's pages, then the old deltas, each in ascending order
//
// Crash before f is complete: slot 0 holds g, or nothing that checks; slot 1
// holds g and wins; slot 0 is written again as g, new pages are deleted. Between
// f and g: both check, g+1 wins and Open does g and h; should its block be damaged,
// the vault stays at g (nothing was promised yet). In g: slot 1 does not check,
// slot 0 holds g+1; Open does g and h. In h: blobs remain that nothing opens; Open
// deletes them.
//
// After any write that failed the vault stops: what reached the disk is unknown,
// and a later fsync may report success for what was lost. Only Open, by reading,
// finds out.
//
// # What Open refuses
//
// It deletes nothing and writes nothing before a block and all its deltas have
// been read. It refuses slots that both fail their check or contradict each
// other, blank slots beside blobs, blobs of another vault, blobs newer than the
// slots (an old copy of the slot file was put back), and damaged or missing
// blobs. Options.DropDamagedTail gives up the last delta if that one is damaged.
package vault
