#!/usr/bin/env python3
"""A second, naive implementation of the leaf format (docs/spec/record.md): no
library, one function per CBOR type. Writes record.json beside itself.

    python3 docs/spec/vectors/record.py
"""
import hashlib, hmac, json, pathlib


def head(major, n):
    for size, extra in ((24, None), (1 << 8, 1), (1 << 16, 2), (1 << 32, 4), (1 << 64, 8)):
        if n < size:
            if extra is None:
                return bytes([major << 5 | n])
            return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[extra]]) + n.to_bytes(extra, "big")
    raise ValueError(n)


def cbor(v):
    if v is True or v is False:
        return bytes([0xF5 if v else 0xF4])
    if isinstance(v, int):
        return head(0, v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, str):
        return head(3, len(v.encode())) + v.encode()
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(cbor(x) for x in v)
    if isinstance(v, dict):  # keys are unsigned integers below 24: ascending order is byte order
        return head(5, len(v)) + b"".join(cbor(k) + cbor(v[k]) for k in sorted(v))
    raise TypeError(v)


def leaf(kind, ident, issuer, body, commitment=None):
    m = {1: 1, 2: kind, 3: ident, 4: issuer, 5: body}
    if commitment is not None:
        m[6] = commitment
    b = cbor(m)
    return b + bytes(-len(b) % 128)


def seq(first, n):
    return bytes((first + i) % 256 for i in range(n))


def sha(b):
    return hashlib.sha256(b).digest()


def main():
    ident, handle, terms, sig = seq(1, 16), seq(32, 32), seq(64, 32), seq(128, 64)
    part = cbor({1: ["name", "user-id"], 2: "p-1", 3: 1806537600000})
    commitment = hmac.new(seq(200, 32), part, hashlib.sha256).digest()
    out = []

    def add(name, b, **more):
        out.append({"name": name, "leaf": b.hex(), "leafHash": sha(b"\0" + b).hex(), **more})

    add("tick", leaf(26, ident, "pf", {}))
    add("consent", leaf(8, ident, "a-sha", {1: handle, 2: terms, 3: 15, 4: 21274, 5: 0, 6: bytes(32), 7: sig}, commitment),
        part=part.hex(), nonce=seq(200, 32).hex(),
        statement=cbor({1: terms, 2: 15, 3: True, 4: 21274, 6: bytes(32), 7: commitment}).hex())
    add("revocation", leaf(9, ident, "b-sha", {1: handle, 2: terms, 3: 0, 4: sig}),
        statement=cbor({1: terms, 2: 0, 3: False}).hex())
    add("stop of everything", leaf(10, ident, "pf", {1: handle, 3: 255}))
    add("provision", leaf(14, ident, "a-sha", {1: handle, 2: 1, 3: 0, 4: "b-sha", 5: 1806627600000, 6: terms}, commitment))
    add("provision.received", leaf(15, ident, "b-sha", {1: ident, 2: terms}, commitment))
    add("erasure.attestation", leaf(21, ident, "pf", {1: ident, 2: "file-slot", 3: 7, 4: [seq(9, 16)]}))
    add("erasure.attestation of copies", leaf(21, ident, "b-sha", {1: ident, 2: "file-slot", 3: 9, 5: "a-sha"}))
    add("erasure.attestation with what is kept", leaf(21, ident, "b-sha", {1: ident, 2: "file-slot", 3: 9, 6: {1: 22034}, 7: ["c-sha", "shop"]}))
    add("erasure.attestation with nothing kept", leaf(21, ident, "b-sha", {1: ident, 2: "file-slot", 3: 9, 6: {}}))
    add("handle.close with hand-overs", leaf(13, ident, "a-sha", {1: handle, 2: [seq(9, 16), seq(10, 16)]}))
    add("custodian", leaf(29, ident, "a-sha", {1: "a-sha", 2: "b-sha"}))
    add("custodian agrees", leaf(29, ident, "b-sha", {1: "a-sha", 2: "b-sha", 3: "file-slot", 4: 9}))
    add("custodian.lost", leaf(30, ident, "a-sha", {1: "a-sha", 2: "b-sha", 3: "stolen"}))
    add("tree.advance", leaf(24, ident, "c-sha", {1: 1 << 62, 2: 1 << 40, 3: terms}))
    add("party", leaf(4, ident, "pf", {1: "shop", 2: {1: "店", 2: "shop"}, 3: "ch4", 4: "JP", 5: ["retail"], 6: handle}))
    path = pathlib.Path(__file__).with_name("record.json")
    path.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
