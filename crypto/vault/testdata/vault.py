#!/usr/bin/env python3
"""A naive second implementation of the vault's formats, written from the package
comment. Prints vault.json: slots and blobs that the vault must open. The cipher
is the one of crypto/seal/testdata/item.py."""
import hashlib, hmac, json, os, struct, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../seal/testdata"))
from item import xchacha_poly

sha = lambda b: hashlib.sha256(b).digest()
vault_id, salt, generation = bytes(range(32, 48)), bytes(range(64, 96)), 7
blobs, made = {}, 0

def fresh(size):  # what would be random
    global made
    made += 1
    return sha(b"vector %d" % made)[:size]

def size(entries):
    return sum(4 + len(name.encode()) + len(value) for name, value in entries.items())

def page(entries):
    b = struct.pack(">I", len(entries))
    for name, value in sorted((name.encode(), value) for name, value in entries.items()):
        b += struct.pack(">H", len(name)) + name + struct.pack(">H", len(value)) + value
    return b + b"\0" * (-len(b) % 256)

def seal(key, plaintext, ad):
    nonce = fresh(24)
    return b"\1" + nonce + xchacha_poly(key, nonce, plaintext, ad)

def write(kind, number, gen, plaintext, count, bytes_):
    """Seals one blob of the tree and returns its ref."""
    id_, key = fresh(16), fresh(32)
    ad = b"akashi/vault/%s/v2\n" % kind.encode() + vault_id + struct.pack(">Q", gen) + id_ + struct.pack(">I", number)
    blob = seal(key, plaintext, ad)
    blobs["vault/%s/%016x/%s/%s" % (vault_id.hex(), gen, kind, id_.hex())] = blob.hex()
    return struct.pack(">Q", gen) + id_ + key + sha(blob) + struct.pack(">II", count, bytes_)

def bucket_of(name):
    parts = name.split("/")
    if parts[0] == "p" and len(parts) > 2:
        name = "p/" + parts[1] + "/"
    return struct.unpack(">I", hmac.digest(salt, name.encode(), "sha256")[:4])[0] >> 16

def tree(entries, old, carried):
    """Writes a tree and returns root key, root block id and its hash."""
    buckets, zero = {}, bytes(96)
    for name, value in entries.items():
        buckets.setdefault(bucket_of(name), {})[name] = value
    middles, counts = {}, {}
    for number, held in sorted(buckets.items()):
        gen = old if number % 2 else generation
        m = number // 256
        middles.setdefault(m, [zero] * 256)[number % 256] = write("bucket", number, gen, page(held), len(held), size(held))
        count, bytes_ = counts.get(m, (0, 0))
        counts[m] = count + len(held), bytes_ + size(held)
    root = salt + struct.pack(">Q", 5) + write("carry", 0, old, page(carried), len(carried), size(carried))
    for m in range(256):
        root += write("middle", m, generation, b"".join(middles[m]), *counts[m]) if m in middles else zero
    ref = write("root", 0, generation, root, 0, 0)
    return ref[24:56], ref[8:24], ref[56:88]

buried = {"l/phone/000-0000-0001": b"p01", "p/p01/ks": bytes(32), "p/p01/c/portal": b"c", "p/p02/ks": b"x" * 300,
          "p/空/ks": b"", "p//": b"no name", "p/x": b"no group", "h/" + "\x01" * 32: b"raw"}
carried = {"p/p02/c/portal": b"carried", "p/p01/c/portal": b"carried over what is buried"}
deltas = [{"p/p03/ks": b"three", "p/p01/ks": b"replaced"}, {"a": b"before all", "p/p02/c/portal": b"over what is carried"}]
key, root_id, chain = tree(buried, 4, carried)
root_hash = chain
for n, entries in enumerate(deltas, 1):
    ad = b"akashi/vault/delta/v2\n" + vault_id + struct.pack(">Q", generation) + root_id + struct.pack(">Q", n) + chain
    blob = seal(key, page(entries), ad)
    chain = sha(blob)
    blobs["vault/%s/%016x/delta/%016x" % (vault_id.hex(), generation, n)] = blob.hex()
expected = dict(buried)
for later in [carried] + deltas:
    expected.update(later)

slot = b"AKVAULT\3" + struct.pack(">Q", generation) + vault_id + key + root_id + root_hash
slot += b"\0" * (4064 - len(slot))
slot += sha(slot)
print(json.dumps({"slot": slot.hex(), "blobs": blobs, "entries": {k: v.hex() for k, v in expected.items()}}, ensure_ascii=False, indent=1))
