// Puzzles: addresses that several keys hold together.

import { addressOfData } from './address.js'
import { unhex } from './bytes.js'
import { hashOf } from './document.js'
import { demand, nameOf, PUZZLE_DATA } from './form.js'
import { isKey, SCHEMES } from './signature.js'
import type { Puzzle, PuzzleData } from './types.js'

type Identity = PuzzleData['identities'][number]

/** A puzzle: an address that several keys hold together. Identities without `weight` weigh 1. What else an identity has,
 * such as a name, is left out: it would be part of the address, and every server would refuse what is paid from there.
 *
 * Throws where nobody could ever pay from its address. */
export async function puzzle (threshold: number, identities: Identity[]): Promise<Puzzle> {
  const bare = identities.map(({ scheme, public: key, weight }) =>
    ({ scheme, public: key, ...(weight === undefined ? {} : { weight }) }))
  const data = { conditions: { multisig: { threshold } }, identities: bare }
  demandSolvable(data)
  const mistyped = bare.find((identity) => !isKeyOf(identity))
  if (mistyped !== undefined) throw new Error(`puzzle: ${mistyped.public} is no public key of ${mistyped.scheme}`)
  return { data, hash: await hashOf(data), meta: {} }
}

/** The address of a puzzle: who solves it pays from there. Throws where nobody ever could. */
export async function addressOfPuzzle ({ data }: Puzzle): Promise<string> {
  demandSolvable(data)
  return await addressOfData(data)
}

/** The identity of a puzzle that has this key. */
export function identityOf (key: { scheme: string, public: string }, { data }: Puzzle): Identity | undefined {
  return data.identities.find((identity) => nameOf(identity) === nameOf(key))
}

function demandSolvable (data: PuzzleData): void {
  demand(PUZZLE_DATA, data, 'puzzle')
  const { conditions: { multisig: { threshold } }, identities } = data
  const unknown = identities.find(({ scheme }) => !SCHEMES.includes(scheme))
  if (unknown !== undefined) throw new Error(`puzzle: the scheme ${JSON.stringify(unknown.scheme)} is not known`)
  // What is no key signs nothing.
  const weight = identities.filter(isKeyOf).reduce((sum, { weight = 1 }) => sum + weight, 0)
  if (weight < threshold) {
    const short = `all keys together weigh ${weight}, and the threshold is ${threshold}`
    throw new Error(`puzzle: ${short}: nobody could ever pay from there`)
  }
}

function isKeyOf ({ scheme, public: key }: Identity): boolean {
  return isKey(scheme, unhex(key))
}
