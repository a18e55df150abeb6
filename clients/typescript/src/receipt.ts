// Receipts: the proof that a record is in a server's log, in one file that needs nothing else (c2sp.org/tlog-proof@v1).

import { type Bytes, concat, hex, same, unbase64, utf8 } from './bytes.js'
import { sha256, sha3 } from './hash.js'
import { canonical, parse } from './json.js'
import { isIncluded, leafHash } from './merkle.js'
import { verifyEd25519 } from './signature.js'
import type { Record } from './types.js'

const HEADER = 'c2sp.org/tlog-proof@v1'
const ED25519 = 1
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

/** Reads a receipt and checks all of it against the log's key, as `/.well-known/webwallet` shows it: signature, path,
 * record. Take the key from somewhere that is not the server the receipt is about. Throws, saying what is wrong. */
export async function verifyReceipt (receipt: string, key: string): Promise<Proven> {
  const [proof = '', note] = split(receipt, receipt.indexOf('\n\n'))
  const [header, extra, indexLine, ...path] = proof.split('\n')
  if (note === undefined || header !== HEADER) throw new Error(`not a receipt: its first line is not ${HEADER}`)
  const leaf = unbase64(after('extra ', extra))
  const index = decimal(after('index ', indexLine))
  const checkpoint = await openCheckpoint(note, key)
  const hashes = path.map((line) => node(line))
  if (!await isIncluded(await leafHash(leaf), index, checkpoint.size, hashes, checkpoint.root)) {
    throw new Error('the path does not lead from the record to the root that was signed')
  }
  return { record: readRecord(leaf, checkpoint.origin), checkpoint }
}

function readRecord (leaf: Bytes, origin: string): Record {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(leaf)
  const record = parse(text) as unknown as Record
  if (canonical(record) !== text) throw new Error('the leaf is not canonical JSON')
  if (record.data?.kind !== 'record') throw new Error('what is proved to be in the log is not a record')
  if (record.data.domain !== origin) throw new Error('the record is of another server')
  if (record.hash?.value !== hex(sha3(utf8(canonical(record.data))))) throw new Error('the record is not of its hash')
  return record
}

/** The checkpoint in a signed note (c2sp.org/tlog-checkpoint), once it is known that the log of this key signed it. */
export async function openCheckpoint (note: string, key: string): Promise<Checkpoint> {
  if (utf8(note).length > NOTE_BYTES_MAX) throw new Error('not a signed note: too long')
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

interface VerifierKey { name: string, id: Bytes, publicKey: Bytes }

/** `name+id+base64(0x01 ‖ public)`, the id in eight hex digits. */
async function readKey (text: string): Promise<VerifierKey> {
  const [, name = '', id = '', encoded = ''] = /^([^\s+]+)\+([0-9a-f]{8})\+(.*)$/.exec(text) ?? []
  const key = unbase64(encoded)
  if (key[0] !== ED25519 || key.length !== 33) throw new Error('not a verifier key of Ed25519')
  const computed = (await sha256(concat(utf8(name + '\n'), key))).slice(0, 4)
  if (hex(computed) !== id) throw new Error('the id is not that of this name and key')
  return { name, id: computed, publicKey: key.slice(1) }
}

/** Lines of other keys are passed over, as the format asks; all of this key must be valid, and one must be there. */
async function checkSigned (text: string, lines: string[], key: VerifierKey): Promise<void> {
  let signed = false
  for (const line of lines) {
    const [, name, encoded] = /^\u2014 (\S+) (\S+)$/.exec(line) ?? []
    if (name === undefined || encoded === undefined) throw new Error('not a signed note: a line is no signature')
    const bytes = unbase64(encoded)
    if (name !== key.name || !same(bytes.slice(0, 4), key.id)) continue
    if (!await verifyEd25519(key.publicKey, utf8(text), bytes.slice(4))) {
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
  if (text === undefined || !/^(0|[1-9][0-9]{0,19})$/.test(text)) throw new Error('not a number')
  return BigInt(text)
}

function node (text: string | undefined): Bytes {
  const bytes = unbase64(text ?? '')
  if (bytes.length !== 32) throw new Error('not base64 of a hash')
  return bytes
}
