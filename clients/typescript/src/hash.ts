// Hashes. SHA-256 is WebCrypto's; SHA3-256 and RIPEMD-160, which it does not have, are here.

import type { Bytes } from './bytes.js'

/** SHA-256. */
export async function sha256 (bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
}

const MASK = (1n << 64n) - 1n
const RATE = 136

/** What the rho step turns by and the iota step adds, computed as FIPS 202 (section 3.2) defines them. */
const [TURNS, ROUNDS] = keccakConstants()

function keccakConstants (): [bigint[], bigint[]] {
  const turns = new Array<bigint>(25).fill(0n)
  let [x, y] = [1, 0]
  for (let t = 0; t < 24; t++) {
    turns[x + 5 * y] = BigInt(((t + 1) * (t + 2) / 2) % 64);
    [x, y] = [y, (2 * x + 3 * y) % 5]
  }
  const rounds: bigint[] = []
  let register = 1
  for (let round = 0; round < 24; round++) {
    let constant = 0n
    for (let j = 0; j < 7; j++) {
      if ((register & 1) === 1) constant |= 1n << BigInt((1 << j) - 1)
      register = (register << 1) ^ ((register >> 7) * 0x171)
    }
    rounds.push(constant)
  }
  return [turns, rounds]
}

/** SHA3-256 (FIPS 202), on 64-bit integers: documents are small, and it is short enough to be read. */
export function sha3 (bytes: Uint8Array): Bytes {
  const padded = new Uint8Array((Math.floor(bytes.length / RATE) + 1) * RATE)
  padded.set(bytes)
  padded[bytes.length]! ^= 0x06
  padded[padded.length - 1]! ^= 0x80
  const input = new DataView(padded.buffer)
  const state = new Array<bigint>(25).fill(0n)
  for (let block = 0; block < padded.length; block += RATE) {
    for (let i = 0; i < RATE / 8; i++) state[i]! ^= input.getBigUint64(block + 8 * i, true)
    for (const constant of ROUNDS) keccakRound(state, constant)
  }
  const digest = new Uint8Array(32)
  const output = new DataView(digest.buffer)
  for (let i = 0; i < 4; i++) output.setBigUint64(8 * i, state[i]!, true)
  return digest
}

function keccakRound (state: bigint[], constant: bigint): void {
  const columns = [0, 1, 2, 3, 4].map((x) => [0, 5, 10, 15, 20].reduce((sum, y) => sum ^ state[x + y]!, 0n))
  const moved = new Array<bigint>(25)
  for (let x = 0; x < 5; x++) {
    const mix = columns[(x + 4) % 5]! ^ turn64(columns[(x + 1) % 5]!, 1n)
    for (let y = 0; y < 5; y++) {
      moved[y + 5 * ((2 * x + 3 * y) % 5)] = turn64(state[x + 5 * y]! ^ mix, TURNS[x + 5 * y]!)
    }
  }
  for (let i = 0; i < 25; i++) {
    const row = i - i % 5
    state[i] = moved[i]! ^ (~moved[row + (i + 1) % 5]! & MASK & moved[row + (i + 2) % 5]!)
  }
  state[0]! ^= constant
}

function turn64 (lane: bigint, by: bigint): bigint {
  return ((lane << by) | (lane >> (64n - by))) & MASK
}

/** What each round permutes the words of the round before by. */
const RHO = [7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8]
/** How far each word turns, round by round. */
const SHIFTS = [
  [11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8],
  [12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7],
  [13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9],
  [14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6],
  [15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5]
]
const LEFT = [0, 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xa953fd4e]
const RIGHT = [0x50a28be6, 0x5c4dd124, 0x6d703ef3, 0x7a6d76e9, 0]
const FUNCTIONS = [
  (x: number, y: number, z: number) => x ^ y ^ z,
  (x: number, y: number, z: number) => (x & y) | (~x & z),
  (x: number, y: number, z: number) => (x | ~y) ^ z,
  (x: number, y: number, z: number) => (x & z) | (y & ~z),
  (x: number, y: number, z: number) => x ^ (y | ~z)
]

/** RIPEMD-160 (Dobbertin, Bosselaers, Preneel 1996): only ever a short name for a SHA-256. */
export function ripemd160 (bytes: Uint8Array): Bytes {
  const padded = new Uint8Array((Math.floor((bytes.length + 8) / 64) + 1) * 64)
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n, true)
  let chain = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]
  const identity = RHO.map((_, i) => i)
  for (let block = 0; block < padded.length; block += 64) {
    const words = identity.map((i) => view.getUint32(block + 4 * i, true))
    const left = ripemdLine(chain, words, identity, FUNCTIONS, LEFT)
    const order = identity.map((i) => (9 * i + 5) % 16)
    const right = ripemdLine(chain, words, order, [...FUNCTIONS].reverse(), RIGHT)
    chain = chain.map((_, i) => (chain[(i + 1) % 5]! + left[(i + 2) % 5]! + right[(i + 3) % 5]!) | 0)
  }
  const digest = new Uint8Array(20)
  const output = new DataView(digest.buffer)
  chain.forEach((word, i) => output.setUint32(4 * i, word, true))
  return digest
}

function ripemdLine (
  chain: number[], words: number[], order: number[], functions: typeof FUNCTIONS, constants: number[]
): number[] {
  let [a, b, c, d, e] = chain as [number, number, number, number, number]
  for (let round = 0; round < 5; round++) {
    for (const i of order) {
      const sum = (a + functions[round]!(b, c, d) + words[i]! + constants[round]!) | 0
      const turned = (turn32(sum, SHIFTS[round]![i]!) + e) | 0;
      [a, e, d, c, b] = [e, d, turn32(c, 10), b, turned]
    }
    order = order.map((i) => RHO[i]!)
  }
  return [a, b, c, d, e]
}

function turn32 (word: number, by: number): number {
  return (word << by) | (word >>> (32 - by))
}
