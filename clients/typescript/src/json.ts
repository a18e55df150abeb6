// Canonical JSON (RFC 8785): the one spelling of a document, which is hashed, and reading without silent losses.

/** What documents are made of. Numbers occur in puzzles alone, as integers. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json | undefined }

/** The canonical spelling of a value. Members that are `undefined` are left out. */
export function canonical (value: unknown): string {
  if (typeof value === 'string') return text(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new Error(`${value} is not JSON`)
    return JSON.stringify(value)
  }
  if (typeof value === 'boolean' || value === null) return String(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object') throw new Error(`${typeof value} is not JSON`)
  // Sorted by UTF-16 code units, which is what `sort` does and RFC 8785 asks.
  const keys = Object.keys(value).filter((key) => (value as Record<string, unknown>)[key] !== undefined).sort()
  const members = keys.map((key) => `${text(key)}:${canonical((value as Record<string, unknown>)[key])}`)
  return `{${members.join(',')}}`
}

function text (value: string): string {
  // Would become another character in UTF-8.
  if (/\p{Surrogate}/u.test(value)) throw new Error('a lone surrogate is no text')
  return JSON.stringify(value)
}

/** Reads JSON, and refuses what `JSON.parse` would lose silently: all but the last of members with one name, and how a
 * number was written, where that is not its one spelling. */
export function parse (json: string): Json {
  let value: Json
  try {
    value = JSON.parse(json) as Json
  } catch (cause) {
    throw new Error('not JSON', { cause })
  }
  // It is JSON; so these are all its strings and all that opens, closes and separates.
  const open: Array<Set<string> | null> = []
  const tokens = json.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}[\]]|-?\d[-+.\deE]*/g)
  for (const [token, string, colon] of tokens) {
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(null)
    else if (token === '}' || token === ']') open.pop()
    else if (string === undefined && String(Number(token)) !== token) throw new Error(`${token} is not spelled as it would be`)
    else if (string !== undefined && colon !== undefined) {
      const name = JSON.parse(string) as string
      const names = open.at(-1)
      if (names?.has(name) === true) throw new Error(`${string} is there twice`)
      names?.add(name)
    }
  }
  return value
}
