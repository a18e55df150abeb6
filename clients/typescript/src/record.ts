// Records: whether what a server says it has cleared is one, and of which IOUs.

import { isAddress } from './address.js'
import { utf8 } from './bytes.js'
import { isNamed } from './document.js'
import { demand, RECORD } from './form.js'
import { flaw } from './iou.js'
import { canonical } from './json.js'
import type { Iou, Record } from './types.js'

/** Bytes of a record's canonical JSON: a leaf of the log holds no more. */
const RECORD_BYTES_MAX = 61_440

/** The record that a value is. Throws where it is none, saying why. Its IOUs are not looked into. */
export async function readRecord (value: unknown): Promise<Record> {
  demand(RECORD, value, 'record')
  const record = value as Record
  if (utf8(canonical(record)).length > RECORD_BYTES_MAX) throw new Error('the record is larger than a leaf of the log')
  if (!await isNamed(record)) throw new Error('the record is not of its hash')
  for (const { address, counter, source = counter } of record.data.outputs) {
    for (const text of [address, counter, source]) {
      if (!await isAddress(text)) throw new Error(`the record names ${JSON.stringify(text)}, which is no address`)
    }
  }
  return record
}

/** Whether the IOUs in a record are those that it names, and signed as they must be: its hash is over their names alone. */
export async function hasItsIous ({ data, meta }: Record): Promise<boolean> {
  if (meta.inputs.length !== data.inputs.length) return false
  for (const [i, iou] of meta.inputs.entries()) {
    if (await flaw(iou) !== null || iou.hash.value !== data.inputs[i]!.hash) return false
  }
  return true
}

/** Whether it is the record of these IOUs: of exactly them, and of the server they were written for. In whichever
 * order: a repeat is answered with the record of the first. */
export async function isRecordOf ({ data }: Record, ious: Iou[]): Promise<boolean> {
  for (const iou of ious) {
    if (iou.data.domain !== data.domain || !await isNamed(iou)) return false
  }
  const names = (inputs: Array<{ hash: string }>) => inputs.map(({ hash }) => hash).sort().join()
  return names(data.inputs) === names(ious.map(({ hash }) => ({ hash: hash.value })))
}
