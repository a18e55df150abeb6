// Signatures, judged by the one rule of the protocol, whatever WebCrypto this runs on.
//
// For Ed25519: S < L; A and R canonically encoded, of order L. Where all of this holds, every equation in use (with or
// without cofactor) gives the same answer, so that of WebCrypto is the rule's. Without it, implementations differ.

import { bigEndian, type Bytes, littleEndian } from './bytes.js'
import { add, affineX, decodeEcdsa, decodeEd25519, GENERATOR, invert, isOfPrimeOrder, L, multiply } from './curve.js'

/** The two ways to sign: RFC 8032, which this client writes too, and the original SDK's, which it only reads. */
export const SCHEMES = ['eddsa-ed25519', 'ecdsa-ed25519'] as const
export type Scheme = typeof SCHEMES[number]

/** Whether bytes are a public key: one that the rule lets sign. */
export function isKey (scheme: Scheme, publicKey: Bytes): boolean {
  const point = scheme === 'eddsa-ed25519' ? decodeEd25519(publicKey) : decodeEcdsa(publicKey)
  return point !== null && isOfPrimeOrder(point)
}

/** Whether `signature` is this key's over the 32 bytes of a hash. */
export async function verify (scheme: Scheme, publicKey: Bytes, hash: Bytes, signature: Bytes): Promise<boolean> {
  return scheme === 'eddsa-ed25519'
    ? await verifyEd25519(publicKey, hash, signature)
    : verifyEcdsa(publicKey, hash, signature)
}

/** Whether `signature` is this Ed25519 key's over a message. */
export async function verifyEd25519 (publicKey: Bytes, message: Bytes, signature: Bytes): Promise<boolean> {
  if (signature.length !== 64 || littleEndian(signature.slice(32)) >= L) return false
  const points = [decodeEd25519(publicKey), decodeEd25519(signature.slice(0, 32))]
  if (!points.every((point) => point !== null && isOfPrimeOrder(point))) return false
  const key = await crypto.subtle.importKey('raw', publicKey, 'Ed25519', false, ['verify'])
  return await crypto.subtle.verify('Ed25519', key, signature, message)
}

/** ECDSA over Edwards25519 as the original SDK signs; no standard covers it. */
function verifyEcdsa (publicKey: Bytes, hash: Bytes, signature: Bytes): boolean {
  const [r, s] = der(signature) ?? []
  const key = decodeEcdsa(publicKey)
  if (r === undefined || s === undefined || key === null || !isOfPrimeOrder(key)) return false
  const e = (bigEndian(hash) >> 3n) % L
  const w = invert(s, L)
  const sum = add(multiply(e * w % L, GENERATOR), multiply(r * w % L, key))
  // The neutral element has x = 0, and r is never 0.
  return affineX(sum) % L === r
}

/** r and s, both in 1..L-1, of strict DER. */
function der (bytes: Bytes): [bigint, bigint] | null {
  const [tag, length] = bytes
  if (tag !== 0x30 || length !== bytes.length - 2) return null
  const r = derInteger(bytes.slice(2))
  const s = r === null ? null : derInteger(r.rest)
  return r === null || s === null || s.rest.length > 0 ? null : [r.value, s.value]
}

function derInteger (bytes: Bytes): { value: bigint, rest: Bytes } | null {
  const [tag, length = 0, first = 0, second = 0] = bytes
  const digits = bytes.slice(2, 2 + length)
  if (tag !== 2 || length === 0 || digits.length !== length) return null
  // The first bit is the sign, and a first byte that only repeats it is padding.
  if (first >= 0x80 || (length > 1 && first === 0 && second < 0x80)) return null
  const value = bigEndian(digits)
  return value > 0n && value < L ? { value, rest: bytes.slice(2 + length) } : null
}
