// IOUs that this client writes and signs for nobody.

import { addressOfData } from '../src/address.js'
import { unhex } from '../src/bytes.js'
import { hashOf } from '../src/document.js'
import type { Iou, Key, Puzzle, Signature } from '../src/index.js'

/** An IOU of whatever data, under its name. */
export async function forged (data: object): Promise<Iou> {
  return { data, hash: await hashOf(data), meta: { signatures: [] } } as unknown as Iou
}

/** The IOU with the signature of a key that may have none to give. */
export async function countersigned (iou: Iou, key: Key, puzzle?: Puzzle): Promise<Iou> {
  const signature: Signature = {
    scheme: 'eddsa-ed25519',
    signer: puzzle === undefined ? key.address : await addressOfData(puzzle.data),
    public: key.publicKey,
    string: await key.sign(unhex(iou.hash.value)),
    ...(puzzle === undefined ? {} : { script: puzzle.hash.value })
  }
  const meta = { ...iou.meta, signatures: [...iou.meta.signatures, signature] }
  return { ...iou, meta: puzzle === undefined ? meta : { ...meta, scripts: [puzzle] } }
}
