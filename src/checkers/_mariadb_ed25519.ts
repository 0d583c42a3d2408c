import { createHash } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519";
import { bytesToNumberLE, concatBytes } from "@noble/curves/utils";

const { BASE, Fn } = ed25519.Point;

/**
 * Signs the challenge of MariaDB's `ed25519` plugin. It is Ed25519 (RFC 8032) with the password in place of a seed of 32
 * bytes. Libraries accept only such seeds, so the signature is computed here.
 *
 * @param message The challenge: 32 random bytes.
 * @returns The signature, 64 bytes.
 */
export function signAsMariaDb(password: Uint8Array, message: Uint8Array): Uint8Array {
  const expanded = sha512(password);
  const secret = Fn.create(bytesToNumberLE(clamped(expanded.subarray(0, 32))));
  const publicKey = BASE.multiply(secret).toBytes();
  const nonce = Fn.create(bytesToNumberLE(sha512(expanded.subarray(32), message)));
  const commitment = BASE.multiply(nonce).toBytes();
  const challenge = Fn.create(bytesToNumberLE(sha512(commitment, publicKey, message)));
  return concatBytes(commitment, Fn.toBytes(Fn.add(nonce, Fn.mul(challenge, secret))));
}

function clamped(bytes: Uint8Array): Uint8Array {
  const scalar = bytes.slice();
  scalar[0]! &= 0xf8;
  scalar[31] = scalar[31]! & 0x7f | 0x40;
  return scalar;
}

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return hash.digest();
}
