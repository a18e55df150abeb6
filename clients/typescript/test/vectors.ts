// The shared vectors, which the server's rules are tested on too.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.env['WEBWALLET_TEST_VECTORS'] ?? ''

/** A file of vectors. Its shape is the caller's word. */
export function vectors<File> (...path: string[]): File {
  return JSON.parse(readFileSync(join(folder, ...path), 'utf8')) as File
}

/** All files of vectors below a folder. */
export function vectorsBelow<File> (...path: string[]): File[] {
  const names = readdirSync(join(folder, ...path), { recursive: true }) as string[]
  return names.filter((name) => name.endsWith('.json')).map((name) => vectors<File>(...path, name))
}
