// Addresses: who may hold, and the name of each unit (its issuer's address).

import { base58, type Bytes, concat, same, unbase58, unhex, utf8 } from './bytes.js'
import { ripemd160, sha256 } from './hash.js'
import { canonical } from './json.js'
import type { PuzzleData } from './types.js'

/** First byte of every address before base58: what makes them start with `w`. */
const PREFIX = 0x87

/** The address of a public key in hex, its bytes taken exactly as given. */
export async function addressOfPublic (publicKey: string): Promise<string> {
  return addressOf(unhex(publicKey))
}

/** The address of the data of a puzzle, whether or not anybody can solve it. */
export async function addressOfData (data: PuzzleData): Promise<string> {
  return addressOf(utf8(canonical(data)))
}

async function addressOf (bytes: Bytes): Promise<string> {
  const payload = concat(Uint8Array.of(PREFIX), ripemd160(await sha256(bytes)))
  return base58(concat(payload, await checksum(payload)))
}

/** Whether a text is an address: alphabet, length, prefix and checksum. */
export async function isAddress (text: string): Promise<boolean> {
  let bytes: Bytes
  if (typeof text !== 'string') return false
  try {
    bytes = unbase58(text)
  } catch {
    return false
  }
  if (bytes.length !== 25 || bytes[0] !== PREFIX) return false
  return same(bytes.slice(21), await checksum(bytes.slice(0, 21)))
}

async function checksum (bytes: Bytes): Promise<Bytes> {
  return (await sha256(await sha256(bytes))).slice(0, 4)
}
