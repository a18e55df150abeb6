// IOUs: writing them, signing them by one party after the other, and judging those of others.

import { addressOfData, addressOfPublic, isAddress } from './address.js'
import { type Bytes, hex, unhex } from './bytes.js'
import { digest, hashOf, isNamed } from './document.js'
import { demand, faultOf, IOU, IOU_DATA, nameOf, PUZZLE } from './form.js'
import type { Key } from './key.js'
import { addressOfPuzzle, identityOf } from './puzzle.js'
import { SCHEMES, verify } from './signature.js'
import type { HashOf, Iou, IouData, KnownCode, Puzzle, Signature } from './types.js'

const LINKER = 'sha256:ripemd160'
const DAY_MS = 86_400_000
/** Days from the time of clearing to the expiry, at most. */
const EXPIRY_DAYS_MAX = 3660

/** What an IOU says, with what can be left to this client: `random` (128 random bits) and `expiry` (in 365 days). */
export type Draft = Omit<IouData, 'random' | 'expiry'> & Partial<Pick<IouData, 'random' | 'expiry'>>

/** An IOU that nobody has signed yet. Throws on what every server would refuse: form, amounts, addresses, credit by another
 * than the issuer, and, by the clock of this machine, times. */
export async function write (draft: Draft): Promise<Iou> {
  // What is `undefined` was not given: it must not take the place of what is filled in.
  const given = Object.entries(draft).filter(([, value]) => value !== undefined)
  const data = {
    random: hex(crypto.getRandomValues(new Uint8Array(16))),
    expiry: new Date(Date.now() + 365 * DAY_MS).toISOString(),
    ...Object.fromEntries(given) as Draft
  }
  demand(IOU_DATA, data, 'data')
  for (const address of [data.source, data.target, data.symbol]) {
    if (!await isAddress(address)) throw new Error(`${JSON.stringify(address)} is not an address`)
  }
  const { active, domain, expiry } = data
  if (!/^[a-z0-9.:-]{1,100}$/.test(domain)) throw new Error(`data.domain: ${JSON.stringify(domain)} is no domain`)
  const flaw = flawOfTerms(data)
  if (flaw === 'not_yet_active') throw new Error(`data.expiry: ${expiry} is before ${active}, when it becomes active`)
  if (flaw !== null) throw new Error('data.credit: only the issuer of a unit gives credit in it')
  const now = new Date().toISOString()
  if (expiry < now) throw new Error(`data.expiry: ${expiry} is over`)
  const cleared = active !== undefined && active > now ? active : now
  if (Date.parse(expiry) > Date.parse(cleared) + EXPIRY_DAYS_MAX * DAY_MS) {
    throw new Error(`data.expiry: ${expiry} is more than ${EXPIRY_DAYS_MAX} days after ${cleared}`)
  }
  return { data, hash: await hashOf(data), meta: { signatures: [] } }
}

/** The IOU with this key's signature added: for the key's own address, or for a puzzle that the key is one of.
 * It takes the place of what the key has signed there before.
 *
 * Throws where `hash.value` is not the hash of `data`: a signature is over the hash, and nobody should sign what was not
 * shown. And where this one would spoil the IOU: servers refuse an IOU with a signature of somebody who has none to give. */
export async function sign (iou: Iou, key: Key, puzzle?: Puzzle): Promise<Iou> {
  demand(IOU, iou, 'iou')
  if (puzzle !== undefined) demand(PUZZLE, puzzle, 'puzzle')
  for (const document of puzzle === undefined ? [iou] : [iou, puzzle]) {
    if (!await isNamed(document)) throw new Error('hash.value is not the hash of data')
  }
  const own = { scheme: 'eddsa-ed25519', public: key.publicKey } as const
  if (puzzle !== undefined && identityOf(own, puzzle) === undefined) throw new Error('the puzzle does not name this key')
  if (puzzle === undefined && key.address !== iou.data.source) {
    throw new Error('this key is not that of the source; where it is one of several, the puzzle must be given')
  }
  const signature: Signature = {
    ...own,
    signer: puzzle === undefined ? key.address : await addressOfPuzzle(puzzle),
    string: await key.sign(unhex(iou.hash.value)),
    linker: LINKER,
    ...(puzzle === undefined ? {} : { script: puzzle.hash.value })
  }
  const scripts = [...(iou.meta.scripts ?? [])]
  if (puzzle !== undefined && !scripts.some((script) => script.hash.value === puzzle.hash.value)) scripts.push(puzzle)
  const others = iou.meta.signatures.filter((other) =>
    other.signer !== signature.signer || other.public.toLowerCase() !== signature.public)
  const meta = { ...iou.meta, signatures: [...others, signature] }
  const signed = { ...iou, meta: scripts.length > 0 ? { ...meta, scripts } : meta }
  // It may have been full.
  demand(IOU, signed, 'iou')
  return signed
}

/** Why form, hashes, addresses, signatures or credit of an IOU are not in order, or that it becomes active after it has
 * expired, by the server's codes and in their order; null if nothing is wrong. Whatever is given: it is JSON of a stranger, most likely.
 *
 * Not judged, because only a server can: its domain, its time, balances and locks. */
export async function flaw (iou: Iou): Promise<KnownCode | null> {
  const fault = faultOf(IOU, iou, 'iou')
  if (fault !== undefined) return fault.code
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
  return await flawOfSignatures(iou) ?? flawOfTerms(iou.data)
}

/** What no time and no balance mends. */
function flawOfTerms ({ active, credit, expiry, source, symbol }: IouData): KnownCode | null {
  if (active !== undefined && active > expiry) return 'not_yet_active'
  return credit !== undefined && source !== symbol ? 'credit_not_by_issuer' : null
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
  return script === undefined ? null : await addressOfData(script.data)
}

function scriptOf ({ script }: Signature, iou: Iou): Puzzle | undefined {
  return iou.meta.scripts?.find(({ hash }) => hash.value === script?.toLowerCase())
}

async function flawOfSignatures (iou: Iou): Promise<KnownCode | null> {
  const { signatures } = iou.meta
  const bySource = signatures.filter(({ signer }) => signer === iou.data.source)
  if (bySource.length === 0) return 'signature_missing'
  const seen = new Set<string>()
  for (const signature of signatures) {
    const { signer } = signature
    const name = `${signer} ${nameOf(signature)}`
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
