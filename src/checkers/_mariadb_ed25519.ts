import { createHash } from "node:crypto";

/**
 * Signs what MariaDB's `ed25519` plugin sends.
 *
 * MariaDB takes the SHA-512 of the password where Ed25519 (RFC 8032) takes that of a seed of 32 bytes.
 * node:crypto accepts nothing but such seeds, so the arithmetic is here.
 *
 * @param password The account's password.
 * @param message What the server sends: 32 random bytes.
 * @returns The signature, 64 bytes.
 */
export function signAsMariaDb(password: Uint8Array, message: Uint8Array): Uint8Array {
  const expanded = sha512(password);
  const secret = clamped(expanded.subarray(0, 32));
  const publicKey = encode(multiplyBase(secret));
  const nonce = modulo(numberOf(sha512(expanded.subarray(32), message)), ORDER);
  const commitment = encode(multiplyBase(nonce));
  const challenge = numberOf(sha512(commitment, publicKey, message));
  const signature = new Uint8Array(64);
  signature.set(commitment);
  signature.set(bytesOf(modulo(nonce + challenge * secret, ORDER)), 32);
  return signature;
}

/** A point of the curve in extended coordinates: x = X/Z, y = Y/Z, T = XY/Z. */
type Point = readonly [x: bigint, y: bigint, z: bigint, t: bigint];

/** The prime of the field, 2^255 - 19. */
const PRIME = 2n ** 255n - 19n;

/** The order of the base point. */
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The constant d of the curve, -121665/121666. */
const D = modulo(-121665n * inverse(121666n), PRIME);

const IDENTITY: Point = [0n, 1n, 1n, 0n];

const BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202n;
const BASE_Y = modulo(4n * inverse(5n), PRIME);
const BASE: Point = [BASE_X, BASE_Y, 1n, modulo(BASE_X * BASE_Y, PRIME)];

const SCALAR_BITS = 255;

/** The base point times 1, 2, 4, 8, …: made once, it halves what a signature takes. */
let doublings: readonly Point[] | undefined;

function multiplyBase(scalar: bigint): Point {
  doublings ??= doublingsOf(BASE);
  let sum = IDENTITY;
  for (const [bit, point] of doublings.entries()) {
    // Added for every bit, so that the time does not depend on how many are set.
    const added = add(sum, point);
    sum = (scalar >> BigInt(bit) & 1n) === 1n ? added : sum;
  }
  return sum;
}

function doublingsOf(point: Point): Point[] {
  const points = [point];
  while (points.length < SCALAR_BITS) points.push(add(points.at(-1)!, points.at(-1)!));
  return points;
}

/** The complete addition of RFC 8032, section 5.1.4. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = modulo((y1 - x1) * (y2 - x2), PRIME);
  const b = modulo((y1 + x1) * (y2 + x2), PRIME);
  const c = modulo(2n * t1 * D * t2, PRIME);
  const d = modulo(2n * z1 * z2, PRIME);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [modulo(e * f, PRIME), modulo(g * h, PRIME), modulo(f * g, PRIME), modulo(e * h, PRIME)];
}

function encode([x, y, z]: Point): Uint8Array {
  const scale = inverse(z);
  const bytes = bytesOf(modulo(y * scale, PRIME));
  bytes[31]! |= Number(modulo(x * scale, PRIME) & 1n) << 7;
  return bytes;
}

/** By Fermat's little theorem: the power of PRIME - 2. */
function inverse(value: bigint): bigint {
  let result = 1n;
  let power = modulo(value, PRIME);
  for (let exponent = PRIME - 2n; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) result = modulo(result * power, PRIME);
    power = modulo(power * power, PRIME);
  }
  return result;
}

function modulo(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

function clamped(bytes: Uint8Array): bigint {
  const scalar = bytes.slice();
  scalar[0]! &= 0xf8;
  scalar[31] = scalar[31]! & 0x7f | 0x40;
  return numberOf(scalar);
}

/** Little-endian. */
function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytes.toReversed().toHex()}`);
}

/** Little-endian, 32 bytes. */
function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.fromHex(value.toString(16).padStart(64, "0")).reverse();
}

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return hash.digest();
}
