// Receipts: the proof that a record is in a server's log, in one file that needs nothing else (c2sp.org/tlog-proof@v1).

import { type Bytes, concat, hex, same, unbase64, unhex, utf8 } from './bytes.js'
import { demand, isU64, RECEIPT } from './form.js'
import { sha256 } from './hash.js'
import { canonical, parse } from './json.js'
import { isIncluded, leafHash } from './merkle.js'
import { readRecord } from './record.js'
import { verifyEd25519 } from './signature.js'
import type { components, Record } from './types.js'

const HEADER = 'c2sp.org/tlog-proof@v1'
const ED25519 = 1
/** Bytes of a key's id, which stand before each signature. */
const ID_BYTES = 4
/** Bytes of a note at most, as in Go's implementation of the format. */
const NOTE_BYTES_MAX = 1_000_000
/** Signature lines of a note at most, as in Go's implementation of the format. */
const NOTE_SIGNATURES_MAX = 100

/** The head of a log, once it is known who signed it. */
export interface Checkpoint {
  /** The log's name: the server's domain. */
  origin: string
  /** Leaves. */
  size: bigint
  /** Root of the tree over them. */
  root: Bytes
}

/** What a receipt proves. */
export interface Proven {
  record: Record
  checkpoint: Checkpoint
}

/** A receipt, read and not verified. */
interface Receipt {
  /** The record as it is stored: the leaf. */
  leaf: string
  index: bigint
  /** The hashes from the leaf's neighbour up. */
  path: Bytes[]
  /** The signed head: a whole note. */
  note: string
}

/** Reads a receipt, as text or as JSON, and checks all of it against the log's key, as `/.well-known/webwallet` shows it:
 * signature, path, record. Take the key from somewhere that is not the server the receipt is about. Throws, saying what is
 * wrong; what `webwallet verify` refuses is refused, and nothing else. */
export async function verifyReceipt (receipt: string, key: string): Promise<Proven> {
  const { leaf, index, path, note } = await readReceipt(receipt)
  const checkpoint = await openCheckpoint(note, key)
  if (!await isIncluded(await leafHash(utf8(leaf)), index, checkpoint.size, path, checkpoint.root)) {
    throw new Error('the path does not lead from the record to the root that was signed')
  }
  const record = await readLeaf(leaf)
  if (record.data.domain !== checkpoint.origin) throw new Error('the record is of another server')
  return { record, checkpoint }
}

/** The record that a receipt is of. Whether that is in a log is for `verifyReceipt` to say. */
export async function recordOfReceipt (receipt: string): Promise<Record> {
  return await readLeaf((await readReceipt(receipt)).leaf)
}

async function readLeaf (leaf: string): Promise<Record> {
  const record = await readRecord(parse(leaf))
  if (canonical(record) !== leaf) throw new Error('the leaf is not canonical JSON')
  return record
}

async function readReceipt (receipt: string): Promise<Receipt> {
  return receipt.startsWith('{') ? await readJson(receipt) : readText(receipt)
}

function readText (receipt: string): Receipt {
  const [proof = '', note] = split(receipt, receipt.indexOf('\n\n'))
  const [header, extra, index, ...path] = proof.split('\n')
  if (note === undefined || header !== HEADER) throw new Error(`not a receipt: its first line is not ${HEADER}`)
  return { leaf: leafText(unbase64(after('extra ', extra))), index: decimal(after('index ', index)), path: path.map(node), note }
}

function leafText (leaf: Bytes): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(leaf)
  } catch {
    throw new Error('the leaf is not UTF-8')
  }
}

/** The JSON form has one spelling too, and may end in white space, as files do. */
async function readJson (receipt: string): Promise<Receipt> {
  const json = receipt.trimEnd()
  if (/[^ \t\n\f\r]/.test(receipt.slice(json.length))) throw new Error('not a receipt: something stands after it')
  const value: unknown = parse(json)
  demand(RECEIPT, value, 'receipt')
  const { checkpoint, hash, index, number, path, record } = value as components['schemas']['Receipt']
  const { data, hash: { value: name } } = await readRecord(record)
  if (hash !== name || number !== data.number) throw new Error('not a receipt: not of its record')
  if (canonical(value) !== json) throw new Error('not a receipt: not canonical JSON')
  return { leaf: canonical(record), index: BigInt(index), path: path.map(unhex), note: checkpoint }
}

/** The checkpoint in a signed note (c2sp.org/tlog-checkpoint), once it is known that the log of this key signed it. */
export async function openCheckpoint (note: string, key: string): Promise<Checkpoint> {
  if (utf8(note).length > NOTE_BYTES_MAX) throw new Error('not a signed note: too long')
  if (/[\0-\x09\x0b-\x1f]/.test(note)) throw new Error('not a signed note: a control character')
  const verifier = await readKey(key)
  const [body, lines] = split(note, note.lastIndexOf('\n\n'))
  if (lines === undefined || !lines.endsWith('\n')) throw new Error('not a signed note')
  const signatures = lines.slice(0, -1).split('\n', NOTE_SIGNATURES_MAX + 1)
  if (signatures.length > NOTE_SIGNATURES_MAX) throw new Error('not a signed note: too many signatures')
  const text = body + '\n'
  await checkSigned(text, signatures, verifier)
  const [origin, size, root, ...extensions] = text.slice(0, -1).split('\n')
  if (origin !== verifier.name) throw new Error(`a checkpoint of ${origin}, not of ${verifier.name}`)
  if (extensions.includes('')) throw new Error('not a checkpoint: an empty line')
  return { origin, size: decimal(size), root: node(root) }
}

/** Whether a key can have this name. The spaces are Unicode's, as the format says; `\s` is another set. */
function isKeyName (name: string): boolean {
  return /^[^\p{White_Space}+\0-\x1f]+$/u.test(name)
}

interface VerifierKey { name: string, id: Bytes, publicKey: Bytes }

/** `name+id+base64(0x01 ‖ public)`, the id in eight hex digits. */
async function readKey (text: string): Promise<VerifierKey> {
  const [, name = '', id = '', encoded = ''] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/.exec(text) ?? []
  if (!isKeyName(name)) throw new Error('not a verifier key, or not with a name that keys have')
  const key = unbase64(encoded)
  if (key[0] !== ED25519 || key.length !== 33) throw new Error('not a verifier key of Ed25519')
  const computed = (await sha256(concat(utf8(name + '\n'), key))).slice(0, ID_BYTES)
  if (hex(computed) !== id) throw new Error('the id is not that of this name and key')
  return { name, id: computed, publicKey: key.slice(1) }
}

/** Lines of other keys are passed over, as the format asks; all of this key must be valid, and one must be there. */
async function checkSigned (text: string, lines: string[], key: VerifierKey): Promise<void> {
  let signed = false
  for (const line of lines) {
    const [, name = '', encoded = ''] = /^\u2014 ([^ ]*) (.*)$/.exec(line) ?? []
    if (!isKeyName(name)) throw new Error('not a signed note: a line is no signature')
    const bytes = unbase64(encoded)
    if (bytes.length <= ID_BYTES) throw new Error('not a signed note: a signature is empty')
    if (name !== key.name || !same(bytes.slice(0, ID_BYTES), key.id)) continue
    if (!await verifyEd25519(key.publicKey, utf8(text), bytes.slice(ID_BYTES))) {
      throw new Error(`the signature of ${name} is not by its key over this text`)
    }
    signed = true
  }
  if (!signed) throw new Error(`not signed by ${key.name}`)
}

function split (text: string, at: number): [string] | [string, string] {
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 2)]
}

function after (prefix: string, line: string | undefined): string {
  if (line?.startsWith(prefix) !== true) throw new Error(`not a receipt: no line begins with "${prefix}"`)
  return line.slice(prefix.length)
}

function decimal (text: string | undefined): bigint {
  if (text === undefined || !isU64(text)) throw new Error('not a number')
  return BigInt(text)
}

function node (text: string | undefined): Bytes {
  const bytes = unbase64(text ?? '')
  if (bytes.length !== 32) throw new Error('not base64 of a hash')
  return bytes
}
