// The evidence of a consent that a person confirmed with a passkey (docs/spec/
// record.md): the challenge that the passkey signed follows from the statement that
// the handle's key signed. Plain JavaScript, as everywhere here: WebCrypto is absent
// on plain http.
import { concat, equal, hex, hmac, sha256, utf8 } from "./bytes.js";
import { decode, encode } from "./cbor.js";
import { verify as verifyEd25519 } from "./ed25519.js";
import { need } from "./form.js";
import { leafHash, rootOf } from "./log.js";

const MAX = 1024;
const number = (b) => BigInt("0x" + (hex(b) || "0"));
const base64url = (b) => btoa(String.fromCharCode(...b)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");

// checkEvidence checks the evidence in an opened consent part, given as its bytes,
// and returns the site at which the passkey was asked and the consent's place among
// those that were given at once.
export async function checkEvidence(rec, nonce, part, origin) {
  const fields = decode(part);
  const e = decode(fields.get(8));
  const [a, position, count, path, head] = [e.get(1), e.get(2) ?? 0, e.get(3), e.get(4) ?? [], e.get(5)];
  known(e, 1, 5);
  known(a, 1, 6);
  need(count >= 1 && count <= 16 && position < count && e.get(2) !== 0 && !(e.has(4) && path.length === 0) && path.every((h) => h.length === 32), "malformed evidence");
  need(position ? head instanceof Uint8Array && head.length === 32 : head === undefined, "malformed evidence");
  const left = [...fields.raw].filter(([n]) => n !== 8);
  const bare = concat(Uint8Array.of(0xa0 | left.length), ...left.flatMap(([n, raw]) => [Uint8Array.of(n), raw]));
  const b = rec.body;
  const statement = [[1, b.terms], [2, b.scope], [3, true], [4, b.expiry], [5, b.count || undefined], [6, position ? head : b.head], [7, hmac(nonce, bare)]];
  const root = rootOf(leafHash(concat(b.handle, encode(new Map(statement)))), position, count, path);
  const challenge = sha256(concat(utf8(`akashi/passkey/v1\n${origin}\n`), root));
  const site = await verifyAssertion({ algorithm: a.get(1), key: a.get(2), authenticator: a.get(4), clientData: a.get(5), signature: a.get(6) }, a, challenge);
  return { site, position };
}

// known wants a map with fields of these numbers only.
function known(m, from, to) {
  need(m instanceof Map && [...m.keys()].every((n) => n >= from && n <= to), "malformed evidence");
}

async function verifyAssertion(v, map, challenge) {
  for (const n of [2, 3, 4, 5, 6]) need(map.get(n) instanceof Uint8Array && map.get(n).length >= 1 && map.get(n).length <= MAX, "malformed assertion");
  const said = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(v.clientData));
  need(said.type === "webauthn.get" && said.challenge === base64url(challenge), "the passkey signed another challenge");
  const site = /^https?:\/\/([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(:[0-9]{1,5})?$/.exec(said.origin);
  need(typeof said.origin === "string" && site && (said.crossOrigin === undefined || said.crossOrigin === false), "another site");
  need(v.authenticator.length >= 37, "malformed assertion");
  need(equal(v.authenticator.subarray(0, 32), sha256(utf8(site[1]))) && (v.authenticator[32] & 5) === 5, "the passkey belongs to another site, or nobody was there");
  const message = concat(v.authenticator, sha256(v.clientData));
  const check = { ES256: es256, RS256: rs256, EdDSA: verifyEd25519 }[v.algorithm];
  need(check, "malformed assertion");
  need(await check(v.key, message, v.signature), "the passkey's signature does not verify");
  return said.origin;
}

// ECDSA over P-256 (FIPS 186-5 §6.4.2), y² = x³ − 3x + b.
const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
const G = [0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n, 0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n, 1n];
const mod = (x, m = P) => ((x % m) + m) % m;

function power(b, e, m) {
  let out = 1n;
  for (b = mod(b, m); e > 0n; e >>= 1n, b = (b * b) % m) if (e & 1n) out = (out * b) % m;
  return out;
}

// A point is [X, Y, Z] with x = X/Z², y = Y/Z³; Z = 0 is the point at infinity.
function double([x, y, z]) {
  if (!z || !y) return [1n, 1n, 0n];
  const yy = mod(y * y);
  const s = mod(4n * x * yy);
  const zz = mod(z * z);
  const m = mod(3n * (x - zz) * (x + zz));
  const x3 = mod(m * m - 2n * s);
  return [x3, mod(m * (s - x3) - 8n * yy * yy), mod(2n * y * z)];
}

function add(p, q) {
  if (!p[2]) return q;
  if (!q[2]) return p;
  const [z1, z2] = [mod(p[2] * p[2]), mod(q[2] * q[2])];
  const [u1, u2] = [mod(p[0] * z2), mod(q[0] * z1)];
  const [s1, s2] = [mod(p[1] * z2 * q[2]), mod(q[1] * z1 * p[2])];
  if (u1 === u2) return s1 === s2 ? double(p) : [1n, 1n, 0n];
  const h = mod(u2 - u1);
  const r = mod(s2 - s1);
  const hh = mod(h * h);
  const hhh = mod(h * hh);
  const x = mod(r * r - hhh - 2n * u1 * hh);
  return [x, mod(r * (u1 * hh - x) - s1 * hhh), mod(h * p[2] * q[2])];
}

function times(p, n) {
  let out = [1n, 1n, 0n];
  for (; n > 0n; n >>= 1n, p = double(p)) if (n & 1n) out = add(out, p);
  return out;
}

export function es256(key, message, der) {
  const [x, y] = [number(key.subarray(1, 33)), number(key.subarray(33))];
  const rs = derOf(der);
  if (key.length !== 65 || key[0] !== 4 || x >= P || y >= P || mod(y * y - x * x * x + 3n * x - B) !== 0n || !rs) return false;
  const [r, s] = rs;
  if (r <= 0n || s <= 0n || r >= N || s >= N) return false;
  const w = power(s, N - 2n, N);
  const [X, , Z] = add(times(G, mod(number(sha256(message)) * w, N)), times([x, y, 1n], mod(r * w, N)));
  return Z !== 0n && mod(mod(X * power(Z, P - 3n, P)), N) === r;
}

// derOf reads SEQUENCE { INTEGER r, INTEGER s } in DER, null where it is not that.
function derOf(b) {
  if (b[0] !== 0x30 || b[1] !== b.length - 2 || b.length > 72) return null;
  const out = [];
  for (let at = 2; at < b.length; ) {
    const n = b[at + 1];
    const v = b.subarray(at + 2, at + 2 + n);
    if (b[at] !== 2 || !(n >= 1) || v.length !== n || v[0] & 0x80 || (n > 1 && v[0] === 0 && !(v[1] & 0x80))) return null;
    out.push(number(v));
    at += 2 + n;
  }
  return out.length === 2 ? out : null;
}

// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.2) with SHA-256 and exponent 65537.
const DIGEST_INFO = Uint8Array.of(0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20);

export function rs256(key, message, sig) {
  const k = key.length;
  const n = number(key);
  if (k < 256 || k > 512 || !(key[0] & 0x80) || !(n & 1n) || sig.length !== k || number(sig) >= n) return false;
  const want = concat(Uint8Array.of(0, 1), new Uint8Array(k - 54).fill(0xff), Uint8Array.of(0), DIGEST_INFO, sha256(message));
  return power(number(sig), 65537n, n) === number(want);
}
