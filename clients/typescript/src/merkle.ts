// Proofs in trees of RFC 6962 over SHA-256: the log.

import { type Bytes, concat, same } from './bytes.js'
import { sha256 } from './hash.js'

/** The hash of a leaf. The prefixes keep a leaf from posing as a node. */
export async function leafHash (bytes: Uint8Array): Promise<Bytes> {
  return await sha256(concat(Uint8Array.of(0), bytes))
}

async function nodeHash (left: Bytes, right: Bytes): Promise<Bytes> {
  return await sha256(concat(Uint8Array.of(1), left, right))
}

/** Whether `leaf` is at `index` in the tree of `size` leaves and this root (RFC 9162, section 2.1.3.2). */
export async function isIncluded (
  leaf: Bytes, index: bigint, size: bigint, path: Bytes[], root: Bytes
): Promise<boolean> {
  if (index < 0n || index >= size || !areHashes(leaf, root, ...path)) return false
  const reached = await climb(index, size - 1n, leaf, path)
  return reached !== null && same(reached.whole, root)
}

/** Whether the tree of `to` leaves begins with the tree of `from` leaves (RFC 9162, section 2.1.4.2).
 *
 * Every tree begins with the empty one, so that proves nothing and is refused. */
export async function isConsistent (
  from: bigint, to: bigint, path: Bytes[], old: Bytes, root: Bytes
): Promise<boolean> {
  if (from < 1n || from > to || !areHashes(old, root, ...path)) return false
  if (from === to) return path.length === 0 && same(old, root)
  let level = 0n
  while (((from >> level) & 1n) === 0n) level++
  // The last complete subtree of the older tree: a power of two is one whole.
  const [start, rest] = from === 1n << level ? [old, path] : [path[0], path.slice(1)]
  if (start === undefined) return false
  const reached = await climb((from - 1n) >> level, (to - 1n) >> level, start, rest)
  return reached !== null && same(reached.ending, old) && same(reached.whole, root)
}

function areHashes (...nodes: Bytes[]): boolean {
  return nodes.every((node) => node.length === 32)
}

/** From a node up to the roots of two trees: the one that ends with the node, and the one whose last node on the same
 * level is `last`. The path must have exactly as many hashes as that takes. */
async function climb (
  index: bigint, last: bigint, start: Bytes, path: Bytes[]
): Promise<{ ending: Bytes, whole: Bytes } | null> {
  let [ending, whole] = [start, start]
  for (const sibling of path) {
    if (last === 0n) return null
    if ((index & 1n) === 1n || index === last) {
      // A node without a sibling stands for itself, however far up.
      for (; (index & 1n) === 0n; last >>= 1n) index >>= 1n
      ending = await nodeHash(sibling, ending)
      whole = await nodeHash(sibling, whole)
    } else {
      whole = await nodeHash(whole, sibling)
    }
    [index, last] = [index >> 1n, last >> 1n]
  }
  return last === 0n ? { ending, whole } : null
}
