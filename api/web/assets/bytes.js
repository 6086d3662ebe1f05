// Bytes, base64 and the two hashes. Plain JavaScript on purpose: WebCrypto is
// absent on plain http, and one path that is always taken is one that is tested.

const encoder = new TextEncoder();
export const utf8 = (s) => encoder.encode(s);

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

export function equal(a, b) {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

// compare orders byte strings as Go orders strings.
export function compare(a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

const HEX = Array.from({ length: 256 }, (_, v) => v.toString(16).padStart(2, "0"));

export function hex(b) {
  let s = "";
  for (const v of b) s += HEX[v];
  return s;
}

// long texts that were decoded last: the receipts of one person have seals and proofs
// in common, and what is computed of them is kept beside their bytes (see once).
const decoded = new Map();

// fromBase64 accepts the one spelling of RFC 4648 §4: padded, no spare bits. Equal
// texts may give the same bytes, which nobody changes.
export function fromBase64(s) {
  if (s.length < 200) return decodeBase64(s);
  let b = decoded.get(s);
  if (!b) {
    b = decodeBase64(s);
    if (decoded.size >= 500) decoded.clear();
    decoded.set(s, b);
  }
  return b;
}

// once returns f, which is a function of nothing but its bytes, with a memory.
export function once(f) {
  const known = new WeakMap();
  return (b) => {
    if (!known.has(b)) known.set(b, f(b));
    return known.get(b);
  };
}

function decodeBase64(s) {
  const binary = atob(s);
  if (btoa(binary) !== s) throw new Error("not strict base64");
  const b = new Uint8Array(binary.length);
  for (let i = 0; i < b.length; i++) b[i] = binary.charCodeAt(i);
  return b;
}

export function toBase64(b) {
  let s = "";
  for (const v of b) s += String.fromCharCode(v);
  return btoa(s);
}

// The constants of FIPS 180-4 are the first bits of the roots of primes.
// Computed exactly with integers, they need no table that someone must trust.
function primes(n) {
  const out = [];
  for (let c = 2; out.length < n; c++) if (out.every((p) => c % p)) out.push(c);
  return out;
}

// fraction returns the first bits of the fractional part of the k-th root of p.
function fraction(p, k, bits) {
  const x = BigInt(p) << BigInt(k * bits);
  let lo = 0n;
  let hi = 1n << BigInt(bits + 5); // roots of primes below 410 are below 32
  while (hi - lo > 1n) {
    const mid = (lo + hi) >> 1n;
    if (mid ** BigInt(k) <= x) lo = mid;
    else hi = mid;
  }
  return lo & ((1n << BigInt(bits)) - 1n);
}

const P80 = primes(80);
const K256 = Int32Array.from(P80.slice(0, 64), (p) => Number(fraction(p, 3, 32)));
const H256 = Int32Array.from(P80.slice(0, 8), (p) => Number(fraction(p, 2, 32)));
const K512 = P80.map((p) => fraction(p, 3, 64));
const H512 = P80.slice(0, 8).map((p) => fraction(p, 2, 64));

// pad appends the bit 1, zeros and the length in bits.
function pad(b, block) {
  const n = Math.ceil((b.length + 1 + block / 8) / block) * block;
  const out = new Uint8Array(n);
  out.set(b);
  out[b.length] = 0x80;
  const view = new DataView(out.buffer);
  view.setUint32(n - 8, Math.floor(b.length / 0x20000000));
  view.setUint32(n - 4, (b.length << 3) >>> 0);
  return view;
}

const W256 = new Int32Array(64); // of the block that is being hashed

export function sha256(b) {
  const data = pad(b, 64);
  const h = H256.slice();
  const w = W256;
  const r = (x, n) => (x >>> n) | (x << (32 - n));
  for (let at = 0; at < data.byteLength; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = data.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (r(x, 7) ^ r(x, 18) ^ (x >>> 3)) + (r(y, 17) ^ r(y, 19) ^ (y >>> 10));
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = h;
    for (let i = 0; i < 64; i++) {
      const t1 = (s7 + (r(s4, 6) ^ r(s4, 11) ^ r(s4, 25)) + ((s4 & s5) ^ (~s4 & s6)) + K256[i] + w[i]) | 0;
      const t2 = ((r(s0, 2) ^ r(s0, 13) ^ r(s0, 22)) + ((s0 & s1) ^ (s0 & s2) ^ (s1 & s2))) | 0;
      s7 = s6;
      s6 = s5;
      s5 = s4;
      s4 = (s3 + t1) | 0;
      s3 = s2;
      s2 = s1;
      s1 = s0;
      s0 = (t1 + t2) | 0;
    }
    h[0] += s0;
    h[1] += s1;
    h[2] += s2;
    h[3] += s3;
    h[4] += s4;
    h[5] += s5;
    h[6] += s6;
    h[7] += s7;
  }
  const out = new DataView(new ArrayBuffer(32));
  h.forEach((v, i) => out.setInt32(4 * i, v));
  return new Uint8Array(out.buffer);
}

export function sha512(b) {
  const data = pad(b, 128);
  const h = H512.slice();
  const w = new Array(80);
  const u = (x) => BigInt.asUintN(64, x);
  const r = (x, n) => (x >> n) | u(x << (64n - n));
  for (let at = 0; at < data.byteLength; at += 128) {
    for (let i = 0; i < 16; i++) w[i] = data.getBigUint64(at + 8 * i);
    for (let i = 16; i < 80; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      w[i] = u(w[i - 16] + w[i - 7] + (r(x, 1n) ^ r(x, 8n) ^ (x >> 7n)) + (r(y, 19n) ^ r(y, 61n) ^ (y >> 6n)));
    }
    let s = h.slice();
    for (let i = 0; i < 80; i++) {
      const [a, bb, c, d, e, f, g, hh] = s;
      const t1 = hh + (r(e, 14n) ^ r(e, 18n) ^ r(e, 41n)) + ((e & f) ^ (u(~e) & g)) + K512[i] + w[i];
      const t2 = (r(a, 28n) ^ r(a, 34n) ^ r(a, 39n)) + ((a & bb) ^ (a & c) ^ (bb & c));
      s = [u(t1 + t2), a, bb, c, u(d + t1), e, f, g];
    }
    s.forEach((v, i) => (h[i] = u(h[i] + v)));
  }
  const out = new DataView(new ArrayBuffer(64));
  h.forEach((v, i) => out.setBigUint64(8 * i, v));
  return new Uint8Array(out.buffer);
}

// hmac is HMAC-SHA-256 (RFC 2104).
export function hmac(key, message) {
  const k = new Uint8Array(64);
  k.set(key.length > 64 ? sha256(key) : key);
  const inner = sha256(concat(k.map((v) => v ^ 0x36), message));
  return sha256(concat(k.map((v) => v ^ 0x5c), inner));
}
