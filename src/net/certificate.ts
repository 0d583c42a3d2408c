/**
 * The expiry of certificates.
 *
 * @module
 */

/** An element of DER: its tag, and the position of its content. */
interface Element {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

const SEQUENCE = 0x30;
const VERSION = 0xa0;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

/**
 * Returns when the first of some certificates expires. It parses the DER itself: node:crypto costs a daemon 10 MiB.
 *
 * @returns The time in milliseconds since 1970; null if a certificate cannot be parsed.
 */
export function certificateExpiry(pem: string): number | null {
  const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g);
  const times = blocks.map(([, base64]) => notAfter(base64!)).toArray();
  return times.length === 0 || times.includes(null) ? null : Math.min(...times as number[]);
}

function notAfter(base64: string): number | null {
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const certificate = elementAt(bytes, 0);
    const signed = elementAt(bytes, certificate.start);
    // The version, which is optional, serial number, algorithm and issuer precede the validity.
    let element = elementAt(bytes, signed.start);
    for (let skipped = element.tag === VERSION ? 0 : 1; skipped < 4; skipped++) {
      element = elementAt(bytes, element.end);
    }
    if (element.tag !== SEQUENCE) return null;
    return timeIn(bytes, elementAt(bytes, elementAt(bytes, element.start).end));
  } catch {
    return null;
  }
}

function elementAt(bytes: Uint8Array, at: number): Element {
  const [tag, first] = bytes.subarray(at, at + 2);
  if (tag === undefined || first === undefined) {
    throw new RangeError("the certificate is truncated");
  }
  if (first < 0x80) return { tag, start: at + 2, end: at + 2 + first };
  const start = at + 2 + (first & 0x7f);
  const length = bytes.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
  return { tag, start, end: start + length };
}

/** Parses a time such as `261231235959Z`, from 1950 to 2049, or `20501231235959Z`. */
function timeIn(bytes: Uint8Array, { tag, start, end }: Element): number | null {
  const text = String.fromCharCode(...bytes.subarray(start, end));
  const century = tag === GENERALIZED_TIME ? "" : Number(text.slice(0, 2)) < 50 ? "20" : "19";
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text) ?? [];
  if (parts.length === 0 || (tag !== UTC_TIME && tag !== GENERALIZED_TIME)) return null;
  const [year, month, ...rest] = parts.map(Number);
  return Date.UTC(year!, month! - 1, ...rest);
}
