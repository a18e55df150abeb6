// IOUs: writing them, signing them by one party after the other, and judging those of others.

import { addressOfPublic, addressOfPuzzle, isAddress } from './address.js'
import { isAmount } from './amount.js'
import { type Bytes, hex, unhex, utf8 } from './bytes.js'
import { sha256, sha3 } from './hash.js'
import { canonical } from './json.js'
import type { Key } from './key.js'
import { SCHEMES, verify } from './signature.js'
import type { HashOf, Iou, IouData, ProblemCode, Puzzle, PuzzleData, Signature } from './types.js'

const LINKER = 'sha256:ripemd160'
const YEAR_MS = 365 * 86_400_000
const CUSTOM_KEYS_MAX = 10

/** What an IOU says, with what can be left to this client: `random` (128 random bits) and `expiry` (in 365 days). */
export type Draft = Omit<IouData, 'random' | 'expiry'> & Partial<Pick<IouData, 'random' | 'expiry'>>

/** An IOU that nobody has signed yet. Throws on what a server would refuse as malformed, as far as money is concerned. */
export async function write (draft: Draft): Promise<Iou> {
  if (!isAmount(draft.amount)) throw new Error(`${JSON.stringify(draft.amount)} is not an amount`)
  for (const address of [draft.source, draft.target, draft.symbol]) {
    if (!await isAddress(address)) throw new Error(`${JSON.stringify(address)} is not an address`)
  }
  const data = {
    random: hex(crypto.getRandomValues(new Uint8Array(16))),
    expiry: new Date(Date.now() + YEAR_MS).toISOString(),
    ...draft
  }
  return { data, hash: await hashOf(data), meta: { signatures: [] } }
}

/** The IOU with this key's signature added: for the key's own address, or for a puzzle that the key is one of.
 * It takes the place of what the key has signed there before.
 *
 * Throws where `hash.value` is not the hash of `data`: a signature is over the hash, and nobody should sign what was not shown. */
export async function sign (iou: Iou, key: Key, puzzle?: Puzzle): Promise<Iou> {
  for (const document of puzzle === undefined ? [iou] : [iou, puzzle]) {
    if (!await isNamed(document)) throw new Error('hash.value is not the hash of data')
  }
  const signature: Signature = {
    scheme: 'eddsa-ed25519',
    signer: puzzle === undefined ? key.address : await addressOfPuzzle(puzzle),
    public: key.publicKey,
    string: await key.sign(unhex(iou.hash.value)),
    linker: LINKER,
    ...(puzzle === undefined ? {} : { script: puzzle.hash.value })
  }
  const scripts = [...(iou.meta.scripts ?? [])]
  if (puzzle !== undefined && !scripts.some((script) => script.hash.value === puzzle.hash.value)) scripts.push(puzzle)
  const others = iou.meta.signatures.filter((other) =>
    other.signer !== signature.signer || other.public.toLowerCase() !== signature.public)
  const meta = { ...iou.meta, signatures: [...others, signature] }
  return { ...iou, meta: scripts.length > 0 ? { ...meta, scripts } : meta }
}

/** A puzzle: an address that several keys hold together. Identities without `weight` weigh 1. */
export async function puzzle (threshold: number, identities: PuzzleData['identities']): Promise<Puzzle> {
  const data = { conditions: { multisig: { threshold } }, identities }
  return { data, hash: await hashOf(data), meta: {} }
}

async function hashOf (data: unknown): Promise<HashOf> {
  return { steps: 'stringify:data', types: 'sha3-256', value: hex(sha3(utf8(canonical(data)))) }
}

/** The hash of a document's `data` by its `types`; null for one outside the closed list. */
async function digest (types: string, data: unknown): Promise<string | null> {
  const bytes = utf8(canonical(data))
  switch (types) {
    case 'sha3-256': return hex(sha3(bytes))
    case 'sha256': return hex(await sha256(bytes))
    case 'sha256:sha256': return hex(await sha256(await sha256(bytes)))
    default: return null
  }
}

/** Whether a document bears its name by right. */
async function isNamed ({ hash, data }: { hash: HashOf, data: unknown }): Promise<boolean> {
  return hash.steps === 'stringify:data' && await digest(hash.types, data) === hash.value
}

/** Why custom data, hashes, addresses or signatures of an IOU are not in order, by the server's codes and in their order;
 * null if they are. `malformed` and `too_large` are said of custom data and its name alone: nothing else is asked for its shape.
 *
 * Not judged, because only a server can: its domain, its time, balances and locks. */
export async function flaw (iou: Iou): Promise<ProblemCode | null> {
  const shape = flawOfCustom(iou)
  if (shape !== null) return shape
  const documents: Array<{ hash: HashOf, data: unknown }> = [iou, ...(iou.meta.scripts ?? []), ...customOf(iou)]
  for (const { hash } of documents) {
    if (hash.steps !== 'stringify:data' || await digest(hash.types, null) === null) return 'unsupported_hash'
  }
  for (const { hash, data } of documents) {
    if (await digest(hash.types, data) !== hash.value) return 'hash_mismatch'
  }
  const { signatures, scripts = [] } = iou.meta
  const schemes = [...signatures, ...scripts.flatMap(({ data }) => data.identities)].map(({ scheme }) => scheme)
  if (!schemes.every((scheme) => SCHEMES.includes(scheme))) return 'unsupported_scheme'
  if (signatures.some(({ linker = LINKER }) => linker !== LINKER)) return 'unsupported_scheme'
  const { source, target, symbol } = iou.data
  for (const address of [source, target, symbol, ...signatures.map(({ signer }) => signer)]) {
    if (!await isAddress(address)) return 'address_invalid'
  }
  for (const signature of signatures) {
    if (await addressOfSigner(signature, iou) !== signature.signer) return 'key_address_mismatch'
  }
  return await flawOfSignatures(iou)
}

/** What is wrong with custom data before its hash is asked. Its name in `data` may come without it, not it without its name. */
function flawOfCustom ({ data: { custom: name }, meta: { custom } }: Iou): ProblemCode | null {
  const isHash = (text: string) => /^[0-9a-f]{64}$/.test(text)
  if (name !== undefined && !isHash(name)) return 'malformed'
  if (custom === undefined) return null
  const { data, hash } = custom
  if (name === undefined || (hash !== undefined && !isHash(hash.value))) return 'malformed'
  if (!isOfTexts(data) || typeof data === 'string' || Array.isArray(data)) return 'malformed'
  return Object.keys(data).length > CUSTOM_KEYS_MAX ? 'too_large' : null
}

/** Whether a value is a text, or a list or object of such values: numbers stand in puzzles alone. */
function isOfTexts (value: unknown): boolean {
  if (typeof value === 'string') return true
  return typeof value === 'object' && value !== null && Object.values(value).every(isOfTexts)
}

/** Custom data under its name in `data`, and under the one it states itself: both must be right. */
function customOf ({ data: { custom: name }, meta: { custom } }: Iou): Array<{ hash: HashOf, data: unknown }> {
  if (custom === undefined || name === undefined) return []
  const { data, hash = { steps: 'stringify:data', types: 'sha256:sha256', value: name } } = custom
  return [{ hash: { ...hash, value: name }, data }, { hash, data }]
}

async function addressOfSigner (signature: Signature, iou: Iou): Promise<string | null> {
  if (signature.script === undefined) return await addressOfPublic(signature.public)
  const script = scriptOf(signature, iou)
  return script === undefined ? null : await addressOfPuzzle(script)
}

function scriptOf ({ script }: Signature, iou: Iou): Puzzle | undefined {
  return iou.meta.scripts?.find(({ hash }) => hash.value === script?.toLowerCase())
}

/** The identity of a puzzle that a signature is by. A key is its bytes, in whichever case their hex is written. */
function identityOf (signature: Signature, { data }: Puzzle): PuzzleData['identities'][number] | undefined {
  return data.identities.find((identity) =>
    identity.scheme === signature.scheme && identity.public.toLowerCase() === signature.public.toLowerCase())
}

async function flawOfSignatures (iou: Iou): Promise<ProblemCode | null> {
  const { signatures } = iou.meta
  const bySource = signatures.filter(({ signer }) => signer === iou.data.source)
  if (bySource.length === 0) return 'signature_missing'
  const seen = new Set<string>()
  for (const signature of signatures) {
    const { scheme, signer } = signature
    const name = [signer, scheme, signature.public.toLowerCase()].join()
    const script = scriptOf(signature, iou)
    const isEntitled = script === undefined
      ? signer === iou.data.source
      : identityOf(signature, script) !== undefined
    if (!isEntitled || seen.has(name) || !await holds(signature, unhex(iou.hash.value))) return 'signature_invalid'
    seen.add(name)
  }
  const script = scriptOf(bySource[0]!, iou)
  if (script === undefined) return null
  const weights = bySource.map((signature) => identityOf(signature, script)?.weight ?? 1)
  const weight = weights.reduce((sum, weight) => sum + weight, 0)
  return weight < script.data.conditions.multisig.threshold ? 'puzzle_unsolved' : null
}

async function holds (signature: Signature, hash: Bytes): Promise<boolean> {
  return await verify(signature.scheme, unhex(signature.public), hash, unhex(signature.string))
}
