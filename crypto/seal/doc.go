// Package seal closes and opens what must stay readable for exactly those who
// hold a person's keys, and unreadable for everybody once those keys are gone.
//
// It knows no ledger, store or clock: bytes in, bytes out. It promises that
// every decoder accepts one spelling only, that no plaintext is returned before
// all of it is authenticated, and that every size is checked before memory is
// spent on it. It does not keep keys (that is package vault), does not say who
// sealed something (an age file has no sender: whoever knows a recipient can
// write to it), and cannot take back a plaintext that was handed out.
//
// All integers are big endian; ‖ is concatenation; quoted texts are ASCII
// without a terminator; "u8 text" is one length byte and that many bytes.
//
// # Identities
//
// An identity is an age hybrid post-quantum key pair (MLKEM768-X25519,
// C2SP age@v1 with the "mlkem768x25519" recipient type) and a random number of
// 16 bytes, drawn at creation and carried by every copy of the key. Publishing
// the number after an erasure lets anybody recognise a stale copy; it says
// nothing about the key. Marshalled:
//
//	0x01 ‖ kind ‖ number (16 bytes) ‖ age secret key (77 bytes, "AGE-SECRET-KEY-PQ-1…")
//
// The kind is 'P' for a person's identity and 'O' for a one-time identity.
// Recipients are age's own text form, "age1pq1…", lower case only.
//
// # Sealed files
//
// Seal and Open write and read plain age files: version line, 1 to 16 stanzas,
// each of type mlkem768x25519, then the payload. Other stanza types are refused,
// also beside hybrid ones: a file that X25519 alone also opens is not safe from
// a quantum computer. Any age implementation with hybrid keys reads the files.
//
// SealPortable alone seals to keys that are not ours, of either kind of age: for
// what a person takes along.
//
// # Data keys
//
// A data key is 32 random bytes. One per person and class of data is wrapped in
// one age file, whose plaintext is
//
//	"akashi/seal/datakey/v1\n" ‖ data key (32 bytes)
//
// # Items
//
// An item is sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under
// the data key, with a fresh random nonce:
//
//	0x01 ‖ nonce (24 bytes) ‖ ciphertext and tag
//
// Its associated data is
//
//	"akashi/seal/item/v1\n" ‖ member (u8 text) ‖ kind (u8 text) ‖ version (8 bytes) ‖ record (16 bytes)
//
// with 1 to 255 bytes of member and of kind. What is encrypted is padded:
//
//	length (4 bytes) ‖ plaintext ‖ zeros up to the size class
//
// The size class of n = 4 + length bytes is the smallest of 64, 128, 256, … 4096
// that holds n, and above 4096 the next multiple of an eighth of the largest
// power of two that does not exceed n (so at most 12.5 % is added). Opening
// refuses another class and padding that is not zero. An item shows its class,
// and nothing else about its length.
//
// XChaCha20-Poly1305 does not commit to its key: one ciphertext may be made to
// open differently under two keys. What was agreed is what opens a commitment,
// never what a ciphertext happens to contain.
//
// # Commitments
//
//	commitment = HMAC-SHA-256(key = nonce, message = canonical sealed part)
//
// with a fresh nonce of 32 bytes for each (RFC 2104; 32 bytes is less than the
// block of SHA-256, so two nonces never become the same HMAC key by hashing).
// Domains are separated by the nonce: it is drawn for one commitment and is the
// key of nothing else, so no other value in the system can be passed off as a
// commitment or the reverse. Which part of a record a commitment is for is said
// by the field of the leaf that holds it, and must be said again by the part.
// Without the nonce a commitment tells nothing, even about a text that can be
// guessed, such as a phone number; with it, everything that can be guessed is
// found. The nonce therefore lives and dies with the sealed part.
//
// # Parcels
//
// A parcel is an age file to a one-time recipient, whose plaintext binds what
// it is for:
//
//	"akashi/seal/parcel/v1\n" ‖ intent (16 bytes) ‖ sender (u8 text) ‖ recipient (u8 text) ‖ padded body
//
// with sender and recipient of 1 to 255 bytes and the body padded as in an item.
// Opening refuses a parcel whose header differs from the one expected in any byte.
//
// # Secrets in memory
//
// Types that hold a secret print as "[redacted]" under every verb, in slog and
// in text encodings. Data keys lie in memory that is locked where the system allows
// it, and are zeroed by Wipe, or when they were collected. Age identities are neither,
// because the age library owns their bytes: what keeps them off the disk, and the copies
// that ciphers make while they run, is a node without swap and without core dumps.
package seal
