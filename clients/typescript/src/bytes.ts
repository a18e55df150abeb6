// Bytes and their spellings: hex, base64, base58check, UTF-8.

export type Bytes = Uint8Array<ArrayBuffer>

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** Lower-case hex, as hashes are written. */
export function hex (bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Whether a text is hex in any case, and not empty. */
export function isHex (text: string): boolean {
  return text.length > 0 && text.length % 2 === 0 && !/[^0-9a-fA-F]/.test(text)
}

/** The bytes of hex in any case. Throws on anything else, and on an empty text. */
export function unhex (text: string): Bytes {
  if (!isHex(text)) throw new Error('expected pairs of hex digits')
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16))
}

/** The UTF-8 of a text. Throws on a lone surrogate, which would silently become another character. */
export function utf8 (text: string): Bytes {
  if (/\p{Surrogate}/u.test(text)) throw new Error('a lone surrogate is no text')
  return new TextEncoder().encode(text)
}

/** The bytes of standard base64 with padding. Throws on every other spelling of the same bytes. */
export function unbase64 (text: string): Bytes {
  let decoded = ''
  try {
    decoded = atob(text)
  } catch {
    // Not base64 at all, and refused below: only an empty text is that of no bytes.
  }
  const bytes = Uint8Array.from(decoded, (character) => character.charCodeAt(0))
  if (base64(bytes) !== text) throw new Error('not base64 in its one spelling')
  return bytes
}

/** Standard base64 with padding. */
export function base64 (bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
}

/** Base58 with Bitcoin's alphabet. */
export function base58 (bytes: Uint8Array): string {
  let number = bigEndian(bytes)
  let text = ''
  for (; number > 0n; number /= 58n) text = ALPHABET.charAt(Number(number % 58n)) + text
  const zeros = bytes.findIndex((byte) => byte !== 0)
  return '1'.repeat(zeros < 0 ? bytes.length : zeros) + text
}

/** The bytes of a base58 text of at most 100 characters. */
export function unbase58 (text: string): Bytes {
  // The work grows with the square of the length.
  if (text.length > 100) throw new Error('too long')
  let number = 0n
  for (const character of text) {
    const digit = ALPHABET.indexOf(character)
    if (digit < 0) throw new Error(`${JSON.stringify(character)} is not base58`)
    number = number * 58n + BigInt(digit)
  }
  const digits = number.toString(16)
  const bytes = number === 0n ? [] : unhex(digits.padStart(digits.length + digits.length % 2, '0'))
  const zeros = /^1*/.exec(text)?.[0].length ?? 0
  return Uint8Array.from([...new Uint8Array(zeros), ...bytes])
}

/** All parts, one after the other. */
export function concat (...parts: Uint8Array[]): Bytes {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Whether two byte strings are the same. Not in constant time: nothing here is secret. */
export function same (a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

/** The number of big-endian bytes. */
export function bigEndian (bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt('0x' + hex(bytes))
}

/** The number of little-endian bytes. */
export function littleEndian (bytes: Uint8Array): bigint {
  return bigEndian(Uint8Array.from(bytes).reverse())
}
