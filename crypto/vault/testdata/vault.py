#!/usr/bin/env python3
"""A naive second implementation of the vault's formats, written from the package
comment. Prints vault.json: slots and blobs that the vault must open. The cipher
is the one of crypto/seal/testdata/item.py."""
import hashlib, json, os, struct, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../seal/testdata"))
from item import xchacha_poly

sha = lambda b: hashlib.sha256(b).digest()
key, vault_id, block_id, generation = bytes(range(32)), bytes(range(32, 48)), bytes(range(48, 64)), 7
who = vault_id + struct.pack(">Q", generation) + block_id

def page(entries):
    b = struct.pack(">I", len(entries))
    for name, value in sorted(entries.items()):
        name = name.encode()
        b += struct.pack(">H", len(name)) + name + struct.pack(">H", len(value)) + value
    return b + b"\0" * (-len(b) % 256)

def seal(entries, ad, nonce):
    return b"\1" + nonce + xchacha_poly(key, nonce, page(entries), ad)

root = "vault/%s/%016x/" % (vault_id.hex(), generation)
BLOCK, DELTA = b"akashi/vault/block/v1\n", b"akashi/vault/delta/v1\n"
pages = [{"lookup/phone/000-0000-0001": b"p01", "person/p01/ks": bytes(32)}, {"person/p02/ks": b"x" * 300, "person/空/ks": b""}]
deltas = [{"person/p03/ks": b"three", "person/p01/ks": b"replaced"}, {"a": b"before all"}]
blobs, expected, hash_ = {}, {}, hashlib.sha256(BLOCK)
for i, entries in enumerate(pages):
    blob = seal(entries, BLOCK + who + struct.pack(">II", i, len(pages)), bytes([100 + i] * 24))
    hash_.update(sha(blob)); expected.update(entries)
    blobs[root + "block/%s/%08x" % (block_id.hex(), i)] = blob.hex()
block_hash = chain = hash_.digest()
for n, entries in enumerate(deltas, 1):
    blob = seal(entries, DELTA + who + struct.pack(">Q", n) + chain, bytes([200 + n] * 24))
    chain = sha(blob); expected.update(entries)
    blobs[root + "delta/%016x" % n] = blob.hex()

slot = b"AKVAULT\1" + struct.pack(">Q", generation) + vault_id + key + block_id + struct.pack(">II", len(pages), 0) + block_hash
slot += b"\0" * (4064 - len(slot))
slot += sha(slot)
print(json.dumps({"slot": slot.hex(), "blobs": blobs, "entries": {k: v.hex() for k, v in expected.items()}}, ensure_ascii=False, indent=1))
