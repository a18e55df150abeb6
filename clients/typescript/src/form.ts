// The forms of documents, each a table of its members, closed as the server's are: what is in no table may not be there.
//
// Not here, because servers have codes of their own for it: whether hashes, addresses and signatures are right.

import { compare, isAmount, isDecimal } from './amount.js'
import { isHex } from './bytes.js'
import type { Iou, IouData, Output, Puzzle, PuzzleData } from './types.js'

/** What is wrong, where, and what is asked for there. */
export interface Fault { code: 'malformed' | 'too_large', at: string, asked: string }

/** All that is wrong with the value at a place. */
export type Form = (value: unknown, at: string) => Fault[]

type Members = { [name: string]: Form }

/** Objects and lists inside one another, the request being the first. */
const DEPTH_MAX = 16
/** JSON values of a request. */
const VALUES_MAX = 8192
/** Bytes of a request. */
const BODY_BYTES_MAX = 128 * 1024
/** What stands around one IOU in a request: so many objects and lists, and as many values. */
const AROUND = 3
const AROUND_BYTES = '{"data":{"inputs":[]}}'.length

/** The fault that a server would name. */
export function faultOf (form: Form, value: unknown, at: string): Fault | undefined {
  const faults = form(value, at)
  return faults.find(({ code }) => code === 'malformed') ?? faults[0]
}

/** Throws where a value has not this form, saying what is asked for. */
export function demand (form: Form, value: unknown, at: string): void {
  const fault = faultOf(form, value, at)
  if (fault !== undefined) throw new Error(`${fault.at}: ${fault.asked}`)
}

export function isObject (value: unknown): value is { [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A number as it is counted with: a decimal from 0 to 2^64-1. */
export function isU64 (text: string): boolean {
  return /^(0|[1-9][0-9]{0,19})$/.test(text) && BigInt(text) < 1n << 64n
}

/** A text without lone surrogates, which no UTF-8 has. */
function isText (value: unknown): value is string {
  return typeof value === 'string' && !/\p{Surrogate}/u.test(value)
}

function isInteger (value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) < 2 ** 31
}

/** Of how many values a value is; NaN for one that no request has: of more than texts, small integers, lists and
 * objects, or with more than `depth` of these inside one another. */
function valuesOf (value: unknown, depth: number): number {
  if (isText(value) || isInteger(value)) return 1
  // What has a `toJSON`, like a Date, is sent as something else than what was hashed.
  if (typeof value !== 'object' || value === null || typeof (value as { toJSON?: unknown }).toJSON === 'function') return NaN
  if (depth === 0) return NaN
  const members = Array.isArray(value) ? Array.from(value, (item) => ['', item]) : Object.entries(value)
  return members.filter(([, inner]) => inner !== undefined || Array.isArray(value))
    .reduce((sum, [name, inner]) => isText(name) ? sum + valuesOf(inner, depth - 1) : NaN, 1)
}

/** Whether a value is a text, or a list or object of such values: numbers stand in puzzles alone. */
function isOfTexts (value: unknown): boolean {
  return typeof value === 'string' || (typeof value === 'object' && value !== null && Object.values(value).every(isOfTexts))
}

function areDistinct<Element> (elements: Element[], name: (element: Element) => string): boolean {
  return new Set(elements.map(name)).size === elements.length
}

function isTime (text: string): boolean {
  const time = new Date(text)
  return text.length === 24 && !Number.isNaN(time.getTime()) && time.toISOString() === text
}

/** What a value must also keep. */
function rule<Value> (asked: string, holds: (value: Value) => boolean, code: Fault['code'] = 'malformed'): Form {
  return (value, at) => holds(value as Value) ? [] : [{ code, at, asked }]
}

/** A form, and rules for what has it. */
function all (form: Form, ...rules: Form[]): Form {
  return (value, at) => {
    const faults = form(value, at)
    if (faults.some(({ code }) => code === 'malformed')) return faults
    return [...faults, ...rules.flatMap((rule) => rule(value, at))]
  }
}

/** Exactly these members. One that is `undefined` is not there, as in JSON. */
function object (required: Members, optional: Members = {}): Form {
  const members: Members = { ...required, ...optional }
  return (value, at) => {
    if (!isObject(value)) return [{ code: 'malformed', at, asked: 'an object is expected' }]
    const given = Object.entries(value).filter(([, inner]) => inner !== undefined)
    const names = new Set(given.map(([name]) => name))
    const missing = Object.keys(required).filter((name) => !names.has(name))
    return [
      ...missing.map((name): Fault => ({ code: 'malformed', at: `${at}.${name}`, asked: 'it is missing' })),
      // Own members only: every object has a `constructor`.
      ...given.flatMap(([name, inner]): Fault[] => Object.hasOwn(members, name)
        ? members[name]!(inner, `${at}.${name}`)
        : [{ code: 'malformed', at: `${at}.${name}`, asked: 'nothing of this name is known here' }])
    ]
  }
}

function list (element: Form, min: number, max: number): Form {
  return (value, at) => {
    if (!Array.isArray(value)) return [{ code: 'malformed', at, asked: 'a list is expected' }]
    const faults = Array.from(value, (item, i) => element(item, `${at}[${i}]`)).flat()
    if (value.length < min) faults.push({ code: 'malformed', at, asked: `at least ${min} must be there` })
    if (value.length > max) faults.push({ code: 'too_large', at, asked: `at most ${max} may be there` })
    return faults
  }
}

function text (asked: string, holds: (text: string) => boolean): Form {
  return all(TEXT, rule(asked, holds))
}

function only (word: string): Form {
  return rule(`only ${JSON.stringify(word)} may stand here`, (value) => value === word)
}

/** So many characters: code points, as the server counts. */
function characters (min: number, max: number): Form {
  return all(text(`at least ${min} characters are expected`, (text) => [...text].length >= min),
    rule<string>(`at most ${max} characters may be there`, (text) => [...text].length <= max, 'too_large'))
}

const unsigned = (text: string) => text.replace(/^-/, '')
const isZero = (text: string) => isAmount(text) && compare(text, '0') === 0

/** What JSON of the protocol is made of, so many objects and lists inside one another at most. */
const ofProfile = (depth: number) =>
  rule(`only texts, integers from 1 to 2147483647, lists and objects are expected, at most ${depth} inside one another`,
    (value) => !Number.isNaN(valuesOf(value, depth)))

const ANY: Form = () => []
const TEXT: Form = rule('a text is expected', isText)
const INTEGER: Form = rule('an integer from 1 to 2147483647 is expected', isInteger)
const HEX = text('pairs of hex digits are expected', isHex)
const HASH = text('64 lower-case hex digits are expected', (text) => /^[0-9a-f]{64}$/.test(text))
const TIME = text('a time is written YYYY-MM-DDTHH:MM:SS.sssZ', isTime)
const NUMBER = text('a decimal from 0 to 2^64-1 is expected', isU64)
const POINTER = text('a hash, two colons and an index are expected', (text) => {
  const [, index = ''] = /^[0-9a-f]{64}::(.*)$/s.exec(text) ?? []
  return isU64(index) && Number(index) < 2 ** 32
})
const AMOUNT = all(
  text('a decimal without sign and exponent is expected', (text) => isDecimal(text) && !text.startsWith('-')),
  rule('at most 60 digits may stand before the point and 40 after it', isAmount, 'too_large'))
const CREDIT = all(TEXT, (value, at) => AMOUNT(unsigned(value as string), at),
  rule<string>('a credit of zero changes nothing', (text) => !isZero(unsigned(text))))

const HASH_OF = object({ steps: TEXT, types: TEXT, value: HASH })

/** Who may sign, and what is needed. */
export const PUZZLE_DATA = object({
  conditions: object({ multisig: object({ threshold: INTEGER }) }),
  identities: all(list(object({ public: HEX, scheme: TEXT }, { weight: INTEGER }), 1, 16),
    rule<PuzzleData['identities']>('one identity is there twice', (identities) => areDistinct(identities, nameOf)))
})
export const PUZZLE = object({ data: PUZZLE_DATA, hash: HASH_OF, meta: object({}) })

const LOCKER = object({
  timers: all(object({ expiry: TIME }, { active: TIME }),
    rule<{ active?: string, expiry: string }>('it would end before it begins', ({ active = '', expiry }) => active < expiry))
}, { puzzle: HASH, script: HASH })

/** What an IOU says. */
export const IOU_DATA = all(
  object({
    amount: AMOUNT, domain: TEXT, expiry: TIME, random: characters(8, 100), source: TEXT, symbol: TEXT, target: TEXT
  }, {
    active: TIME, credit: CREDIT, custom: HASH, locker: LOCKER, solver: object({ output: POINTER }, { hashee: characters(1, 100) })
  }),
  rule<IouData>('source and target are the same', ({ source, target }) => source !== target),
  rule<IouData>('credit stands beside neither locker nor solver', ({ credit, locker, solver }) =>
    credit === undefined || (locker ?? solver) === undefined),
  rule<IouData>('an amount of zero stands only with credit or solver, never with locker', ({ amount, credit, locker, solver }) =>
    !isZero(amount) || (locker === undefined && (credit ?? solver) !== undefined)))

const SIGNATURE = object({ public: HEX, scheme: TEXT, signer: TEXT, string: HEX }, {
  linker: TEXT,
  script: text('64 hex digits are expected', (text) => isHex(text) && text.length === 64)
})

const CUSTOM = object({
  data: all(rule('an object of texts is expected', (value) => isObject(value) && isOfTexts(value)),
    rule<object>('at most 10 keys may be there', (data) => Object.keys(data).length <= 10, 'too_large'))
}, { hash: HASH_OF })

/** A whole IOU, signed or not. */
export const IOU = all(
  // First, so that nothing after it goes down without end.
  all(ofProfile(DEPTH_MAX - AROUND), object({
    data: IOU_DATA,
    hash: HASH_OF,
    meta: object({ signatures: list(SIGNATURE, 0, 16) }, {
      custom: CUSTOM,
      scripts: all(list(PUZZLE, 1, 16),
        rule<Puzzle[]>('one puzzle is there twice', (scripts) => areDistinct(scripts, ({ hash }) => hash.value)))
    })
  })),
  rule<Iou>('meta.custom is there without data.custom', ({ data, meta }) => meta.custom === undefined || data.custom !== undefined),
  rule('it has too many values for a request', (iou) => valuesOf(iou, DEPTH_MAX) <= VALUES_MAX - AROUND, 'too_large'),
  rule('it has too many bytes for a request', (iou) =>
    new TextEncoder().encode(JSON.stringify(iou)).length <= BODY_BYTES_MAX - AROUND_BYTES, 'too_large'))

const limit = (infinity: string) =>
  text(`a decimal or ${infinity} is expected`, (text) => text === infinity || isAmount(unsigned(text)))
const NET = text('a decimal is expected', (text) => isAmount(unsigned(text)))
const ACCOUNT = object({
  address: TEXT,
  balance: object({ max: limit('Infinity'), min: limit('-Infinity'), net: NET }),
  counter: TEXT,
  sources: list(POINTER, 0, Infinity)
})
const LOCK = object({
  address: TEXT,
  balance: all(object({ max: TEXT, min: only('0'), net: AMOUNT }),
    rule<{ max: string, net: string }>('a lock holds all that is in it', ({ max, net }) => max === net)),
  counter: TEXT,
  locker: LOCKER,
  source: TEXT,
  sources: list(POINTER, 0, 0)
})
const isLock = (output: unknown) => isObject(output) && Object.hasOwn(output, 'locker')

/** A record. Its IOUs are not looked into: the receipt's signature is over their bytes, and whether they were signed
 * and cleared by right is for an auditor to say. */
export const RECORD = all(
  ofProfile(DEPTH_MAX),
  object({
    data: object({
      domain: TEXT,
      inputs: list(object({ hash: HASH }), 1, 100),
      kind: only('record'),
      number: NUMBER,
      outputs: all(list((output, at) => isLock(output) ? LOCK(output, at) : ACCOUNT(output, at), 0, Infinity),
        rule<Output[]>('locks come after accounts', (outputs) =>
          outputs.every((output, i) => isLock(output) || i === 0 || !isLock(outputs[i - 1])))),
      time: TIME
    }),
    hash: object({ steps: only('stringify:data'), types: only('sha3-256'), value: HASH }),
    meta: object({ inputs: list(ANY, 0, Infinity) })
  }))

/** A receipt in its JSON form. */
export const RECEIPT = object({
  checkpoint: TEXT, hash: HASH, index: NUMBER, number: NUMBER, path: list(HASH, 0, 64), record: ANY
})

/** What makes an identity another than all others. A key is its bytes, in whichever case their hex is written. */
export function nameOf ({ scheme, public: key }: { scheme: string, public: string }): string {
  return `${scheme} ${key.toLowerCase()}`
}
