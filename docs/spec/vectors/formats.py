"""A second, naive implementation of the small formats, and their vectors.

Canonical CBOR (what is accepted), handles from a person's secret, commitments,
policies (C2SP tlog-policy), signed checkpoints (tlog-checkpoint,
tlog-cosignature), RFC 6962 inclusion and tlog-proof@v1. Ed25519 is written down
from RFC 8032, section 5.1, without any care for speed or timing.

    python3 formats.py > formats.json
"""
import base64, hashlib, hmac, json, struct

sha256 = lambda b: hashlib.sha256(b).digest()
sha512 = lambda b: hashlib.sha512(b).digest()
b64 = lambda b: base64.b64encode(b).decode()

# Ed25519
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
GY = 4 * pow(5, P - 2, P) % P
GX = 15112221349535400772501151409588531511454012693041857206046113283949847762202


def add(p, q):
    (x1, y1), (x2, y2) = p, q
    t = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P)


def times(n, p):
    out = (0, 1)
    while n:
        if n & 1:
            out = add(out, p)
        p, n = add(p, p), n >> 1
    return out


def encode(p):
    return (p[1] | (p[0] & 1) << 255).to_bytes(32, "little")


def expand(seed):
    h = sha512(seed)
    a = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return a, h[32:]


def public(seed):
    return encode(times(expand(seed)[0], (GX, GY)))


def sign(seed, message):
    a, prefix = expand(seed)
    r = int.from_bytes(sha512(prefix + message), "little") % L
    big = encode(times(r, (GX, GY)))
    k = int.from_bytes(sha512(big + public(seed) + message), "little") % L
    return big + ((r + k * a) % L).to_bytes(32, "little")


# Handles: HKDF-SHA-256 without salt (RFC 5869), one block.
def handle(secret, service, generation):
    info = b"akashi/handle/v1\0" + service.encode() + b"\0" + struct.pack(">Q", generation)
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return public(hmac.new(prk, info + b"\1", hashlib.sha256).digest())


# The log
def leaf_hash(leaf):
    return sha256(b"\0" + leaf)


def root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\1" + root(hashes[:k]) + root(hashes[k:]))


def path(i, hashes):
    if len(hashes) == 1:
        return []
    k = 1 << (len(hashes) - 1).bit_length() - 1
    if i < k:
        return path(i, hashes[:k]) + [root(hashes[k:])]
    return path(i - k, hashes[k:]) + [root(hashes[:k])]


ORIGIN = "formats.example/log"
MEMBERS = ["a-sha", "b-sha", "c-sha", "pf"]
seed = lambda name: sha256(b"formats/" + name.encode())
key_id = lambda name, key: sha256(name.encode() + b"\n" + key)[:4]


def vkey(name, alg, key):
    key = bytes([alg]) + key
    return f"{name}+{key_id(name, key).hex()}+{b64(key)}"


def policy(k=3, members=MEMBERS):
    lines = ["log " + vkey(ORIGIN, 1, public(seed("log")))]
    for m in members:
        lines += [f"witness {m}.key {vkey(ORIGIN + '/' + m, 4, public(seed(m)))}", f"group {m} any {m}.key"]
    return "\n".join(lines + [f"group members {k} {' '.join(members)}", "quorum members", ""])


def note(size, top, times, log="log", reverse=False):
    body = f"{ORIGIN}\n{size}\n{b64(top)}\n"
    line = lambda name, alg, key, sig: f"— {name} {b64(key_id(name, bytes([alg]) + key) + sig)}\n"
    out = [line(ORIGIN, 1, public(seed("log")), sign(seed(log), body.encode()))]
    for m, t in sorted(times.items(), reverse=reverse):
        message = f"cosignature/v1\ntime {t}\n{body}".encode()
        out.append(line(f"{ORIGIN}/{m}", 4, public(seed(m)), struct.pack(">Q", t) + sign(seed(m), message)))
    return body + "\n" + "".join(out)


def cbor_cases():
    good = {"zero": "00", "23": "17", "24": "1818", "256": "190100", "largest": "1bffffffffffffffff", "bytes": "43010203", "text": "63e38182",
            "list": "83010203", "map": "a2010a020b", "true": "f5", "false": "f4", "empty map": "a0", "16 lists deep": "81" * 15 + "80"}
    bad = {"23 in two bytes": ("1817", "cbor.not-canonical"), "255 in three": ("1900ff", "cbor.not-canonical"), "65535 in five": ("1a0000ffff", "cbor.not-canonical"),
           "length in two bytes": ("5803010203", "cbor.not-canonical"), "keys out of order": ("a2020b010a", "cbor.not-canonical"), "a key twice": ("a2010a010b", "cbor.duplicate-key"),
           "indefinite bytes": ("5f420102ff", "cbor.not-canonical"), "indefinite list": ("9f01ff", "cbor.not-canonical"), "cut short": ("4301", "cbor.malformed"),
           "something behind": ("0000", "cbor.malformed"), "nothing": ("", "cbor.malformed"), "not UTF-8": ("61ff", "cbor.malformed"),
           "a tag": ("c100", "cbor.malformed"), "17 lists deep": ("81" * 16 + "80", "cbor.depth")}
    return [{"name": n, "cbor": h} for n, h in good.items()] + [{"name": n, "cbor": h, "code": c} for n, (h, c) in bad.items()]


def handle_cases():
    secret = sha256(b"formats/person")
    return [{"secret": secret.hex(), "for": s, "generation": g, "handle": handle(secret, s, g).hex()}
            for s, g in [("a-portal", 0), ("a-portal", 1), ("a-portal", 2**32), ("b-app", 0), ("pf", 7)]]


def commitment_cases():
    nonce, part = sha256(b"nonce"), bytes.fromhex("a10163e38182")
    good = hmac.new(nonce, part, hashlib.sha256).digest()
    flip = lambda b: bytes([b[0] ^ 1]) + b[1:]
    rows = [("opens", nonce, part, good, True), ("another nonce", flip(nonce), part, good, False), ("another part", nonce, flip(part), good, False),
            ("another commitment", nonce, part, flip(good), False), ("empty part", nonce, b"", hmac.new(nonce, b"", hashlib.sha256).digest(), True)]
    return [{"name": n, "nonce": a.hex(), "part": b.hex(), "commitment": c.hex(), "ok": ok} for n, a, b, c, ok in rows]


def policy_cases():
    good = policy()
    doubled = vkey(ORIGIN + "/b-sha", 4, public(seed("a-sha")))
    own = vkey(ORIGIN + "/b-sha", 4, public(seed("b-sha")))
    bad = {"the same key under two names": good.replace(own, doubled), "no log": good.split("\n", 1)[1], "threshold 0": good.replace("members 3", "members 0"),
           "threshold above": good.replace("members 3", "members 5"), "no quorum": good.replace("quorum members\n", ""), "quorum of one member": good.replace("quorum members", "quorum a-sha"),
           "a member without a group": good.replace("group pf any pf.key\n", ""), "a key that nobody uses": good + "witness more " + vkey("w.example", 4, public(seed("w"))) + "\n",
           "two logs": good + good.split("\n")[0] + "\n", "key id of another key": good.replace(own.split("+")[1], "00000000"), "an unknown line": good + "hello\n",
           "member key of the log's kind": good.replace(own, vkey(ORIGIN + "/b-sha", 1, public(seed("b-sha"))))}
    rows = [{"name": "four members", "policy": good, "ok": True}, {"name": "comments and spaces", "policy": "# a comment\n\n" + good.replace("group members", "group  members"), "ok": True}]
    return rows + [{"name": n, "policy": p, "ok": False} for n, p in bad.items()]


def checkpoint_cases():
    top = root([leaf_hash(bytes([i])) for i in range(7)])
    three = {"a-sha": 1_800_000_030, "b-sha": 1_800_000_010, "pf": 1_800_000_020}
    good = note(7, top, three)
    rows = {"three of four": (good, "final"), "four": (note(7, top, {**three, "c-sha": 1_800_000_040}), "final"), "two": (note(7, top, {m: three[m] for m in ["a-sha", "pf"]}), "not-final"),
            "log's line by another key": (note(7, top, three, log="a-sha"), "refused"), "another size": (good.replace("\n7\n", "\n8\n"), "refused"),
            "a line twice": (good + good.split("\n")[-2] + "\n", "refused"), "lines out of order": (note(7, top, three, reverse=True), "refused"),
            "a leading zero": (good.replace("\n7\n", "\n07\n"), "refused"), "another origin": (good.replace(ORIGIN + "\n7", "other.example/log\n7"), "refused"),
            "a line of nobody": (good + "— nobody.example AAAAAAAA\n", "refused"), "cut short": (good[:-1], "refused")}
    fresh = {"three of four": 1_800_000_010, "four": 1_800_000_020}
    return [{"name": n, "note": t, "result": r, **({"freshMs": fresh[n] * 1000} if n in fresh else {})} for n, (t, r) in rows.items()]


def proof_cases():
    leaves = [bytes([i]) * 3 for i in range(7)]
    hashes = [leaf_hash(x) for x in leaves]
    signed = note(7, root(hashes), {"a-sha": 1_800_000_000, "b-sha": 1_800_000_000, "c-sha": 1_800_000_000})
    text = lambda i, walk: "c2sp.org/tlog-proof@v1\nindex %s\n" % i + "".join(b64(h) + "\n" for h in walk) + "\n" + signed
    rows = [(f"leaf {i}", leaves[i], text(i, path(i, hashes)), True) for i in range(7)]
    walk = path(2, hashes)
    rows += [("another leaf", leaves[3], text(2, walk), False), ("another index", leaves[2], text(3, walk), False), ("beyond the tree", leaves[2], text(7, walk), False),
             ("a hash less", leaves[2], text(2, walk[:-1]), False), ("a hash more", leaves[2], text(2, walk + [bytes(32)]), False),
             ("hashes swapped", leaves[2], text(2, [walk[1], walk[0], walk[2]]), False), ("leading zero", leaves[2], text("02", walk), False),
             ("another version", leaves[2], text(2, walk).replace("@v1", "@v2"), False)]
    return [{"name": n, "leaf": leaf.hex(), "proof": p, "ok": ok} for n, leaf, p, ok in rows]


print(json.dumps({"cbor": cbor_cases(), "handles": handle_cases(), "commitments": commitment_cases(), "policies": policy_cases(),
                  "policy": policy(), "checkpoints": checkpoint_cases(), "proofs": proof_cases()}, indent=1, ensure_ascii=False))
