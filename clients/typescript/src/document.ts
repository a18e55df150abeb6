// Documents: data under the name that is its hash.

import { hex, utf8 } from './bytes.js'
import { sha256, sha3 } from './hash.js'
import { canonical } from './json.js'
import type { HashOf } from './types.js'

/** The name of data that this client writes. */
export async function hashOf (data: unknown): Promise<HashOf> {
  return { steps: 'stringify:data', types: 'sha3-256', value: hex(sha3(utf8(canonical(data)))) }
}

/** The hash of a document's `data` by its `types`; null for one outside the closed list. */
export async function digest (types: string, data: unknown): Promise<string | null> {
  const bytes = utf8(canonical(data))
  switch (types) {
    case 'sha3-256': return hex(sha3(bytes))
    case 'sha256': return hex(await sha256(bytes))
    case 'sha256:sha256': return hex(await sha256(await sha256(bytes)))
    default: return null
  }
}

/** Whether a document bears its name by right. */
export async function isNamed ({ hash, data }: { hash: HashOf, data: unknown }): Promise<boolean> {
  return hash.steps === 'stringify:data' && await digest(hash.types, data) === hash.value
}
