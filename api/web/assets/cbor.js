// Canonical CBOR (RFC 8949 §4.2.1) as the ledger writes it: unsigned integers,
// bytes, text, lists, maps with ascending unsigned keys, true and false.
// Anything else, and every second spelling, is refused.
import { compare, concat, utf8 } from "./bytes.js";

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(n) {
    if (n > this.bytes.length - this.at) throw new Error("cut short");
    return this.bytes.subarray(this.at, (this.at += n));
  }

  // argument reads the number behind a first byte, in its shortest form.
  argument(first) {
    const low = first & 31;
    if (low < 24) return low;
    if (low > 27) throw new Error("indefinite or reserved length");
    const size = 1 << (low - 24);
    let n = 0n;
    for (const v of this.take(size)) n = (n << 8n) | BigInt(v);
    if (n < (size === 1 ? 24n : 1n << BigInt(4 * size))) throw new Error("a longer spelling of a number");
    return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
  }

  item(depth) {
    if (depth > 16) throw new Error("nested too deep");
    const [first] = this.take(1);
    if (first === 0xf4 || first === 0xf5) return first === 0xf5;
    const n = this.argument(first);
    switch (first >> 5) {
      case 0:
        return n;
      case 2:
        return this.take(n).slice();
      case 3:
        return text.decode(this.take(n));
      case 4:
        if (n > 16384) throw new Error("too many elements");
        return Array.from({ length: n }, () => this.item(depth + 1));
      case 5:
        return this.map(n, depth);
    }
    throw new Error("a type that the ledger does not use");
  }

  map(n, depth) {
    if (n > 16384) throw new Error("too many elements");
    const out = new Map();
    out.raw = new Map(); // the bytes of each value
    for (let last = -1; n > 0; n--) {
      const [first] = this.take(1);
      const key = first >> 5 === 0 ? this.argument(first) : -1;
      if (!(key > last)) throw new Error("keys out of order");
      last = key;
      const from = this.at;
      out.set(key, this.item(depth + 1));
      out.raw.set(key, this.bytes.slice(from, this.at));
    }
    return out;
  }
}

// first decodes the first item and returns it with its length in bytes.
export function first(bytes) {
  const r = new Reader(bytes);
  return { value: r.item(1), size: r.at };
}

export function decode(bytes) {
  const { value, size } = first(bytes);
  if (size !== bytes.length) throw new Error("something follows");
  return value;
}

function head(major, n) {
  if (n < 24) return Uint8Array.of((major << 5) | n);
  const size = n < 256 ? 0 : n < 65536 ? 1 : n < 4294967296 ? 2 : 3;
  const out = new Uint8Array(1 + (1 << size));
  out[0] = (major << 5) | (24 + size);
  let rest = BigInt(n);
  for (let i = out.length - 1; i > 0; i--, rest >>= 8n) out[i] = Number(rest & 255n);
  return out;
}

// encode writes what statements consist of; undefined values are left out.
export function encode(v) {
  if (typeof v === "boolean") return Uint8Array.of(v ? 0xf5 : 0xf4);
  if (typeof v === "number" || typeof v === "bigint") return head(0, v);
  if (typeof v === "string") return concat(head(3, utf8(v).length), utf8(v));
  if (v instanceof Uint8Array) return concat(head(2, v.length), v);
  const pairs = [...v].filter(([, value]) => value !== undefined).map(([k, value]) => [encode(k), encode(value)]);
  pairs.sort(([a], [b]) => compare(a, b));
  return concat(head(5, pairs.length), ...pairs.flat());
}
