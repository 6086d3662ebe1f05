// Ed25519 (RFC 8032): the browser's own where it has it, else plain JavaScript.
// Both compare the encoded R, without the cofactor, as Go's crypto/ed25519
// does: what they accept is a subset of what the ledger's rules (ZIP-215)
// accept, and equal to what readers of notes accept.
import { concat, sha512 } from "./bytes.js";

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (x) => ((x % P) + P) % P;

function power(b, e) {
  let out = 1n;
  for (b = mod(b); e > 0n; e >>= 1n, b = (b * b) % P) if (e & 1n) out = (out * b) % P;
  return out;
}

const D = mod(-121665n * power(121666n, P - 2n));
const ROOT = power(2n, (P - 1n) / 4n); // of -1

const number = (b) => b.reduceRight((n, v) => (n << 8n) | BigInt(v), 0n);

// A point is [X, Y, Z, T] with x = X/Z, y = Y/Z, xy = T/Z.
function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = (y1 - x1) * (y2 - x2);
  const b = (y1 + x1) * (y2 + x2);
  const c = ((2n * t1 * t2) % P) * D;
  const d = 2n * z1 * z2;
  const [e, f, g, h] = [mod(b - a), mod(d - c), mod(d + c), mod(b + a)];
  return [(e * f) % P, (g * h) % P, (f * g) % P, (e * h) % P];
}

function times(p, n) {
  let out = [0n, 1n, 1n, 0n];
  for (; n > 0n; n >>= 1n, p = add(p, p)) if (n & 1n) out = add(out, p);
  return out;
}

function decode(b) {
  const y = mod(number(b) & (2n ** 255n - 1n));
  const sign = BigInt(b[31] >> 7);
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  let x = mod(u * power(v, 3n) * power(u * power(v, 7n), (P - 5n) / 8n));
  if (mod(v * x * x) !== u) x = mod(x * ROOT);
  if (mod(v * x * x) !== u) return null;
  if ((x & 1n) !== sign) x = mod(-x);
  return [x, y, 1n, mod(x * y)];
}

function encode([x, y, z]) {
  const i = power(z, P - 2n);
  let n = mod(y * i) | ((mod(x * i) & 1n) << 255n);
  return Uint8Array.from({ length: 32 }, () => {
    const v = Number(n & 255n);
    n >>= 8n;
    return v;
  });
}

const BASE = decode(Uint8Array.from({ length: 32 }, (_, i) => (i ? 0x66 : 0x58)));

const doubles = []; // BASE times 2 to the power of i

// publicKey returns the public key of a 32-byte seed.
export function publicKey(seed) {
  const h = sha512(seed).slice(0, 32);
  h[0] &= 248;
  h[31] = (h[31] & 127) | 64;
  let out = [0n, 1n, 1n, 0n];
  for (let n = number(h), i = 0; n > 0n; n >>= 1n, i++) {
    doubles[i] ??= i ? add(doubles[i - 1], doubles[i - 1]) : BASE;
    if (n & 1n) out = add(out, doubles[i]);
  }
  return encode(out);
}

// verifyPlain checks a signature without WebCrypto.
export function verifyPlain(key, message, sig) {
  const a = key.length === 32 && sig.length === 64 && decode(key);
  const s = number(sig.slice(32));
  if (!a || s >= L) return false;
  const k = number(sha512(concat(sig.slice(0, 32), key, message))) % L;
  const minus = [mod(-a[0]), a[1], a[2], mod(-a[3])];
  const r = encode(add(times(BASE, s), times(minus, k)));
  return r.every((v, i) => v === sig[i]);
}

const imported = new Map(); // by the key's bytes: many receipts have few keys

// verify checks a signature, with WebCrypto where there is one that can.
export async function verify(key, message, sig) {
  const subtle = globalThis.crypto?.subtle;
  if (subtle && key.length === 32 && sig.length === 64) {
    const name = key.join();
    let own = imported.get(name);
    try {
      own ??= await subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
    } catch {
      return verifyPlain(key, message, sig);
    }
    if (imported.size < 1000) imported.set(name, own);
    return subtle.verify("Ed25519", own, sig, message);
  }
  return verifyPlain(key, message, sig);
}
