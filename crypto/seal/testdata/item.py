#!/usr/bin/env python3
"""A naive second implementation of sealed items and commitments, written from
the package comment. Prints vectors.json. Standard library only."""
import hashlib, hmac, json, struct

M32 = 0xFFFFFFFF

def rounds(s):
    def rot(x, n): return ((x << n) | (x >> (32 - n))) & M32
    def q(a, b, c, d):
        s[a] = (s[a] + s[b]) & M32; s[d] = rot(s[d] ^ s[a], 16)
        s[c] = (s[c] + s[d]) & M32; s[b] = rot(s[b] ^ s[c], 12)
        s[a] = (s[a] + s[b]) & M32; s[d] = rot(s[d] ^ s[a], 8)
        s[c] = (s[c] + s[d]) & M32; s[b] = rot(s[b] ^ s[c], 7)
    for _ in range(10):
        q(0, 4, 8, 12); q(1, 5, 9, 13); q(2, 6, 10, 14); q(3, 7, 11, 15)
        q(0, 5, 10, 15); q(1, 6, 11, 12); q(2, 7, 8, 13); q(3, 4, 9, 14)

CONST = list(struct.unpack("<4I", b"expand 32-byte k"))

def block(key, counter, nonce):
    start = CONST + list(struct.unpack("<8I", key)) + [counter] + list(struct.unpack("<3I", nonce))
    s = list(start); rounds(s)
    return struct.pack("<16I", *((a + b) & M32 for a, b in zip(s, start)))

def hchacha(key, nonce16):
    s = CONST + list(struct.unpack("<8I", key)) + list(struct.unpack("<4I", nonce16))
    rounds(s)
    return struct.pack("<8I", *(s[:4] + s[12:]))

def poly1305(key, msg):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    acc = 0
    for i in range(0, len(msg), 16):
        acc = (acc + int.from_bytes(msg[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((acc + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")

def xchacha_poly(key, nonce24, plain, ad):
    sub, nonce = hchacha(key, nonce24[:16]), b"\0\0\0\0" + nonce24[16:]
    stream = b"".join(block(sub, 1 + i, nonce) for i in range((len(plain) + 63) // 64))
    ct = bytes(a ^ b for a, b in zip(plain, stream))
    fill = lambda b: b + b"\0" * (-len(b) % 16)
    mac = fill(ad) + fill(ct) + struct.pack("<QQ", len(ad), len(ct))
    return ct + poly1305(block(sub, 0, nonce)[:32], mac)

def size_class(n):
    c = 64
    while c < n and c < 4096: c *= 2
    if n <= c: return c
    top = 1
    while top * 2 <= n: top *= 2
    return -(-n // (top // 8)) * (top // 8)

def text(s):
    b = s.encode(); return bytes([len(b)]) + b

def item(key, nonce, member, kind, version, record, plain):
    ad = b"akashi/seal/item/v1\n" + text(member) + text(kind) + struct.pack(">Q", version) + record
    padded = struct.pack(">I", len(plain)) + plain
    padded += b"\0" * (size_class(len(padded)) - len(padded))
    return b"\1" + nonce + xchacha_poly(key, nonce, padded, ad)

# draft-irtf-cfrg-xchacha-03, A.3.1: the implementation above against the source.
plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
assert xchacha_poly(bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58)), plain,
    bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))[-16:].hex() == "c0875924c1c7987947deafd8780acf49"

def main():
    out = {"items": [], "commitments": [], "classes": []}
    for name, size in (("empty", 0), ("fills its class", 60), ("one over a class", 61), ("500 bytes", 500), ("above the powers", 5000)):
        key, nonce, record = bytes(range(32)), bytes(range(100, 124)), bytes(range(16))
        body = bytes(i % 251 for i in range(size))
        b = item(key, nonce, "ひまわり電力", "provision.items", 3, record, body)
        out["items"].append(dict(name=name, key=key.hex(), member="ひまわり電力", kind="provision.items", version=3,
            record=record.hex(), plaintext=body.hex(), item=b.hex()))
    for part in (b"", b"000-0000-0001", bytes(200)):
        nonce = bytes(range(32))
        out["commitments"].append(dict(nonce=nonce.hex(), part=part.hex(), commitment=hmac.new(nonce, part, "sha256").hexdigest()))
    for n in (4, 64, 65, 4096, 4097, 4608, 4609, 8192, 8193, 1048580):
        out["classes"].append([n, size_class(n)])
    print(json.dumps(out, ensure_ascii=False, indent=1))

if __name__ == "__main__":
    main()
