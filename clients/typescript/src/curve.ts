// Edwards25519 in big integers, for judging signatures: is a key any good, is an encoding the canonical one.
//
// Not for signing: its time depends on the numbers, so no secret may come here. Secrets stay in WebCrypto.

import { bigEndian, littleEndian } from './bytes.js'

/** The field: integers modulo p. */
const P = 2n ** 255n - 19n
/** The order of the group that keys belong to. */
export const L = 2n ** 252n + 27742317777372353535851937790883648493n
const D = mod(-121665n * invert(121666n, P))
const ROOT_OF_MINUS_1 = power(2n, (P - 1n) / 4n)

/** A point in extended coordinates: x = X/Z, y = Y/Z, T = XY/Z. */
export interface Point { X: bigint, Y: bigint, Z: bigint, T: bigint }

const NEUTRAL: Point = { X: 0n, Y: 1n, Z: 1n, T: 0n }

function mod (a: bigint, m = P): bigint {
  const rest = a % m
  return rest < 0n ? rest + m : rest
}

function power (base: bigint, exponent: bigint): bigint {
  let [result, square] = [1n, mod(base)]
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = result * square % P
    square = square * square % P
  }
  return result
}

/** The inverse modulo a prime, by Euclid. */
export function invert (a: bigint, m: bigint): bigint {
  let [r, next, s, t] = [m, mod(a, m), 0n, 1n]
  while (next > 0n) [r, next, s, t] = [next, r % next, t, s - r / next * t]
  return mod(s, m)
}

/** The square root of u/v, or null. Which of the two is not said. */
function rootOfRatio (u: bigint, v: bigint): bigint | null {
  const candidate = mod(u * power(v, 3n) * power(u * power(v, 7n), (P - 5n) / 8n))
  const square = mod(v * candidate * candidate)
  if (square === mod(u)) return candidate
  return square === mod(-u) ? mod(candidate * ROOT_OF_MINUS_1) : null
}

function point (x: bigint, y: bigint): Point {
  return { X: x, Y: y, Z: 1n, T: mod(x * y) }
}

/** The generator: y = 4/5, x even. */
export const GENERATOR = fromY(mod(4n * invert(5n, P)), 0n)!

function fromY (y: bigint, sign: bigint): Point | null {
  const x = rootOfRatio(y * y - 1n, D * y * y + 1n)
  if (x === null || (x === 0n && sign === 1n)) return null
  return point((x & 1n) === sign ? x : mod(-x), y)
}

/** The point of an RFC 8032 encoding; null for none, and for every other spelling than the canonical one. */
export function decodeEd25519 (bytes: Uint8Array): Point | null {
  if (bytes.length !== 32) return null
  const all = littleEndian(bytes)
  const y = all & ((1n << 255n) - 1n)
  return y < P ? fromY(y, all >> 255n) : null
}

/** The point of the original SDK's encodings: 02 or 03 ‖ x, or 04 ‖ x ‖ y, big-endian. */
export function decodeEcdsa (bytes: Uint8Array): Point | null {
  const [form, x, y] = [bytes[0], bigEndian(bytes.slice(1, 33)), bigEndian(bytes.slice(33))]
  if (x >= P || y >= P) return null
  if (form === 4 && bytes.length === 65) return isOnCurve(x, y) ? point(x, y) : null
  if ((form !== 2 && form !== 3) || bytes.length !== 33) return null
  const root = rootOfRatio(1n + x * x, 1n - D * x * x)
  if (root === null) return null
  return point(x, Number(root & 1n) === form - 2 ? root : mod(-root))
}

function isOnCurve (x: bigint, y: bigint): boolean {
  return mod(y * y - x * x - 1n - D * x * x % P * y * y) === 0n
}

/** The sum; the formula is complete, so it holds for all points. */
export function add (a: Point, b: Point): Point {
  const A = mod((a.Y - a.X) * (b.Y - b.X))
  const B = mod((a.Y + a.X) * (b.Y + b.X))
  const C = mod(2n * D * a.T % P * b.T)
  const E = mod(2n * a.Z * b.Z)
  const [e, f, g, h] = [B - A, E - C, E + C, B + A]
  return { X: mod(e * f), Y: mod(g * h), Z: mod(f * g), T: mod(e * h) }
}

/** The point added to itself so many times. */
export function multiply (times: bigint, a: Point): Point {
  let [result, doubled] = [NEUTRAL, a]
  for (let rest = times; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = add(result, doubled)
    doubled = add(doubled, doubled)
  }
  return result
}

/** Whether it is the neutral element. */
export function isNeutral (a: Point): boolean {
  return a.X === 0n && mod(a.Y - a.Z) === 0n
}

/** Whether keys may be this point: of the group of order L, and not its neutral element. */
export function isOfPrimeOrder (a: Point): boolean {
  return !isNeutral(a) && isNeutral(multiply(L, a))
}

/** x as an integer below p. */
export function affineX (a: Point): bigint {
  return mod(a.X * invert(a.Z, P))
}
