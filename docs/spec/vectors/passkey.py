#!/usr/bin/env python3
"""A second, naive implementation of a passkey's evidence (docs/spec/record.md): no
library, signatures by the formulas of FIPS 186-5 and RFC 8032. Its keys are anybody's.
Writes passkey.json beside itself.

    python3 docs/spec/vectors/passkey.py
"""
import base64, hashlib, hmac, json, pathlib, random

from record import cbor, seq, sha

ORIGIN, SITE = "test.example/log", "https://id.example.jp"


def inv(a, p):
    return pow(a, p - 2, p)


class ES256:  # FIPS 186-5 §6, curve P-256 of SP 800-186
    name = "ES256"
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    g = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296, 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)

    def __init__(self):
        self.d = int.from_bytes(sha(b"passkey of nobody"), "big") % self.n
        x, y = self.mul(self.d, self.g)
        self.public = b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big")

    def add(self, a, b):
        if a is None or b is None:
            return a or b
        if a[0] == b[0] and (a[1] + b[1]) % self.p == 0:
            return None
        m = (3 * a[0] ** 2 - 3) * inv(2 * a[1], self.p) if a == b else (b[1] - a[1]) * inv(b[0] - a[0], self.p)
        x = (m * m - a[0] - b[0]) % self.p
        return x, (m * (a[0] - x) - a[1]) % self.p

    def mul(self, k, a):
        out = None
        while k:
            if k & 1:
                out = self.add(out, a)
            a, k = self.add(a, a), k >> 1
        return out

    def sign(self, message):
        e = int.from_bytes(sha(message), "big")
        k = int.from_bytes(sha(b"k" + message), "big") % self.n
        r = self.mul(k, self.g)[0] % self.n
        s = inv(k, self.n) * (e + r * self.d) % self.n
        der = b"".join(b"\2" + bytes([len(b)]) + b for b in (v.to_bytes(v.bit_length() // 8 + 1, "big") for v in (r, s)))
        return b"\x30" + bytes([len(der)]) + der


class EdDSA:  # RFC 8032 §5.1
    name = "EdDSA"
    p = 2**255 - 19
    q = 2**252 + 27742317777372353535851937790883648493
    d = -121665 * inv(121666, p) % p

    def __init__(self):
        h = hashlib.sha512(sha(b"passkey of nobody")).digest()
        self.a = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
        self.prefix = h[32:]
        y = 4 * inv(5, self.p) % self.p
        x2 = (y * y - 1) * inv(self.d * y * y + 1, self.p) % self.p
        x = pow(x2, (self.p + 3) // 8, self.p)
        if x * x % self.p != x2:
            x = x * pow(2, (self.p - 1) // 4, self.p) % self.p
        self.b = (x if x % 2 == 0 else self.p - x, y)
        self.public = self.encoded(self.a)

    def add(self, a, b):
        (x1, y1), (x2, y2), p = a, b, self.p
        t = self.d * x1 * x2 * y1 * y2 % p
        return (x1 * y2 + x2 * y1) * inv(1 + t, p) % p, (y1 * y2 + x1 * x2) * inv(1 - t, p) % p

    def encoded(self, k):
        out, a = (0, 1), self.b
        while k:
            if k & 1:
                out = self.add(out, a)
            a, k = self.add(a, a), k >> 1
        return (out[1] | (out[0] & 1) << 255).to_bytes(32, "little")

    def hash(self, *parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % self.q

    def sign(self, message):
        r = self.hash(self.prefix, message)
        big = self.encoded(r)
        return big + ((r + self.hash(big, self.public, message) * self.a) % self.q).to_bytes(32, "little")


class RS256:  # RFC 8017 §8.2, exponent 65537
    name = "RS256"

    def __init__(self):
        draw = random.Random(1)  # not random, and not meant to be

        def prime():
            while True:
                c = draw.getrandbits(1024) | 3 << 1022 | 1
                if c % 65537 != 1 and all(c % f for f in (3, 5, 7, 11, 13)) and all(pow(b, c - 1, c) == 1 for b in (2, 3, 5, 7)):
                    return c

        p, q = prime(), prime()
        self.n, self.d = p * q, pow(65537, -1, (p - 1) * (q - 1))
        self.public = self.n.to_bytes(256, "big")

    def sign(self, message):
        info = bytes.fromhex("3031300d060960864801650304020105000420") + sha(message)
        padded = b"\0\1" + b"\xff" * (256 - 3 - len(info)) + b"\0" + info
        return pow(int.from_bytes(padded, "big"), self.d, self.n).to_bytes(256, "big")


def root(leaves):  # RFC 6962 §2.1
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha(b"\1" + root(leaves[:k]) + root(leaves[k:]))


def path(leaves, i):
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return path(leaves[:k], i) + [root(leaves[k:])] if i < k else path(leaves[k:], i - k) + [root(leaves[:k])]


def drafts(n):
    """What n consents of one handle say that are given at once."""
    handle, terms, head = seq(32, 32), seq(64, 32), seq(7, 32)
    out = []
    for i in range(n):
        own = head if i == 0 else sha(b"record before %d" % i)
        part = {1: ["name", "user-id"], 2: "p-1", 3: 1806537600000, 4: "同意してはじめる", 5: "ja", 11: seq(90, 32)}
        out.append({"handle": handle, "terms": terms, "scope": i, "expiry": 21274, "count": 5 + i, "head": own, "nonce": seq(200 + i, 32), "part": part})
    return out


def leaf(d, first):
    commitment = hmac.new(d["nonce"], cbor(d["part"]), hashlib.sha256).digest()
    return sha(b"\0" + d["handle"] + cbor({1: d["terms"], 2: d["scope"], 3: True, 4: d["expiry"], 5: d["count"], 6: first, 7: commitment}))


def answer(key, challenge, site=SITE, party=None, flags=5, cross=False, kind="webauthn.get"):
    host = (party or site).split("//")[-1].split(":")[0]
    data = sha(host.encode()) + bytes([flags]) + (9).to_bytes(4, "big")
    text = base64.urlsafe_b64encode(challenge).decode().rstrip("=")
    client = json.dumps({"type": kind, "challenge": text, "origin": site, "crossOrigin": cross}, separators=(",", ":")).encode()
    return {1: key.name, 2: key.public, 3: seq(3, 16), 4: data, 5: client, 6: key.sign(data + sha(client))}


def confirmed(key, n=1, **said):
    """Consents with their evidence, and what the passkey signed."""
    all = drafts(n)
    leaves = [leaf(d, all[0]["head"]) for d in all]
    challenge = sha(b"akashi/passkey/v1\n" + ORIGIN.encode() + b"\n" + root(leaves))
    a = answer(key, challenge, **said)
    for i, d in enumerate(all):
        e = {1: a, 3: n}
        if i:
            e[2], e[5] = i, all[0]["head"]
        if n > 1:
            e[4] = path(leaves, i)
        d["evidence"] = e
    return all, challenge


def main():
    out = []
    es, ed, rs = ES256(), EdDSA(), RS256()

    def add(name, d, challenge=None, site=SITE, code=None):
        text = {k: v.hex() if isinstance(v, bytes) else v for k, v in d.items() if k not in ("part", "evidence")}
        text["part"] = cbor({**d["part"], 8: cbor(d["evidence"])}).hex()
        out.append({"name": name, **text, **({"code": code} if code else {"challenge": challenge.hex(), "site": site, "position": d["evidence"].get(2, 0), "of": d["evidence"][3]})})

    for key in (es, ed, rs):
        (d,), c = confirmed(key)
        add(key.name, d, c)
    (d,), c = confirmed(es, site="http://localhost:8080")
    add("a site of this machine", d, c, "http://localhost:8080")
    for n in (2, 3, 16):
        all, c = confirmed(ed, n)
        for i in (0, 1, n - 1) if n > 2 else (0, 1):
            add(f"number {i} of {n} at once", all[i], c)

    def wrong(name, code, n=1, at=0, key=ed, change=lambda d: None, **said):
        d = confirmed(key, n, **said)[0][at]
        change(d)
        add(name, d, code="passkey." + code)

    def set_in(where, k, v):
        return lambda d: d[where].__setitem__(k, v)

    flipped = lambda b: b[:-1] + bytes([b[-1] ^ 1])
    wrong("another choice of items", "challenge", change=set_in("part", 1, ["name"]))
    wrong("another screen", "challenge", change=set_in("part", 11, seq(91, 32)))
    wrong("another nonce", "challenge", change=lambda d: d.update(nonce=seq(1, 32)))
    wrong("another scope", "challenge", change=lambda d: d.update(scope=1))
    wrong("another count of the handle", "challenge", change=lambda d: d.update(count=6))
    wrong("another handle", "challenge", change=lambda d: d.update(handle=seq(33, 32)))
    wrong("a head that came after", "challenge", change=lambda d: d.update(head=seq(8, 32)))
    wrong("another first head", "challenge", 2, 1, change=set_in("evidence", 5, seq(8, 32)))
    wrong("the path of another", "challenge", 3, 1, change=set_in("evidence", 4, confirmed(ed, 3)[0][0]["evidence"][4]))
    wrong("registered, not asked", "challenge", kind="webauthn.create")
    wrong("asked inside another page", "origin", cross=True)
    wrong("another relying party", "origin", party="evil.example")
    wrong("nobody verified", "origin", flags=1)
    wrong("nobody present", "origin", flags=4)
    for key in (es, ed, rs):
        wrong(f"a changed signature of {key.name}", "signature", key=key, change=lambda d: d["evidence"][1].update({6: flipped(d["evidence"][1][6])}))
    wrong("another counter than was signed", "signature", change=lambda d: d["evidence"][1].update({4: flipped(d["evidence"][1][4])}))
    wrong("no consents at all", "malformed", change=set_in("evidence", 3, 0))
    wrong("more than 16 at once", "malformed", change=set_in("evidence", 3, 17))
    wrong("a place beyond the count", "malformed", 2, 1, change=set_in("evidence", 2, 2))
    wrong("a second head at the first place", "malformed", change=set_in("evidence", 5, seq(7, 32)))
    wrong("no first head at the second place", "malformed", 2, 1, change=lambda d: d["evidence"].pop(5))
    wrong("a path that is too long", "malformed", 2, 1, change=lambda d: d["evidence"][4].append(seq(1, 32)))
    wrong("no path", "malformed", 2, 1, change=lambda d: d["evidence"].pop(4))
    wrong("an algorithm of nobody's", "malformed", change=lambda d: d["evidence"][1].update({1: "none"}))
    wrong("a field that there is not", "malformed", change=set_in("evidence", 6, 1))
    path_ = pathlib.Path(__file__).with_name("passkey.json")
    path_.write_text(json.dumps({"origin": ORIGIN, "evidence": out}, indent=1, ensure_ascii=False) + "\n")


main()
