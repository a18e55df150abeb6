// A server, by its URL: what is posted to it, what is read from it, and its refusals.

import { isObject } from './form.js'
import { flaw } from './iou.js'
import { canonical, parse } from './json.js'
import { recordOfReceipt } from './receipt.js'
import { hasItsIous, isRecordOf, readRecord } from './record.js'
import type {
  Balance, ClearedIou, Holder, Holding, Iou, PlacedOutput, Problem, ProblemCode, Record, ServerCard, Unit
} from './types.js'

/** Bytes of an answer: far above a list of 1,000 entries, and far below memory. */
const ANSWER_BYTES_MAX = 64 * 2 ** 20

/** A request that cleared. */
export interface Cleared {
  record: Record
  /** It had cleared before, and this is the record of that time. */
  replayed: boolean
  /** The receipt of this record, where it was waited for and came in time. Whether the log's key signed it, `verifyReceipt`
   * says. */
  receipt?: string
}

/** The server said no, and why. */
export class Refusal extends Error {
  override readonly name = 'Refusal'

  constructor (
    /** All that the server said. */
    readonly problem: Problem
  ) {
    super(`${problem.code}: ${problem.detail}`)
  }

  /** Why, in one word that never changes. A later server may have words that are in no type of today. */
  get code (): ProblemCode { return this.problem.code }

  /** What to do: nothing (`never`), the same bytes again (`same`), sign anew (`rebuild`) or wait (`later`). */
  get retry (): string { return this.problem.retry }
}

/** What an answer is kept as. */
interface Answer {
  status: number
  replayed: boolean
  text: string
}

/** A server. Every method throws a `Refusal` for a refusal, what `fetch` throws where no answer came, and an `Error` for an
 * answer that no server gives: it may be another's, in its place. Redirects are not followed: what is sent on may arrive as
 * something else.
 *
 * In a browser, page and server must share one origin (a proxy that puts both under one name): servers answer no CORS
 * preflight, and browsers show their answers to no page of another origin. */
export class Server {
  constructor (
    /** Such as `https://wallet.example.com`. */
    readonly url: string,
    private readonly fetch: typeof globalThis.fetch = globalThis.fetch,
    /** How long the whole of an answer is waited for. */
    private readonly timeoutMs = 30_000
  ) {}

  /** Who it is: its domain, its keys, its limits. */
  async card (): Promise<ServerCard> {
    return json(await this.request('/.well-known/webwallet')) as unknown as ServerCard
  }

  /** Clears IOUs, all or none. Sending them again is safe for ever: the answer is the same record.
   *
   * With `waitSeconds`, whole seconds from 1 to 8, it waits for the receipt; of others it throws, and nothing is sent. Throws where the answer is not the record of these IOUs, or the
   * receipt not that of this record, whether or not they have cleared. */
  async clear (inputs: Iou[], waitSeconds?: number): Promise<Cleared> {
    const headers: { [name: string]: string } = { 'content-type': 'application/json' }
    if (waitSeconds !== undefined) {
      // Servers pass over a wait that they do not understand, and the receipt would be missing without a word.
      const isWait = Number.isInteger(waitSeconds) && waitSeconds >= 1 && waitSeconds <= 8
      if (!isWait) throw new RangeError(`a receipt is waited for 1 to 8 whole seconds, and not ${waitSeconds}`)
      headers['prefer'] = `wait=${waitSeconds}`
    }
    const body = JSON.stringify({ data: { inputs } })
    const answer = await this.request('/transaction', { method: 'POST', headers, body })
    const { data, receipt } = json(answer)
    // Whoever believed another would take for cleared what is not.
    const record = await readRecord(data).catch(() => null)
    if (record === null || !await isRecordOf(record, inputs) || !await hasItsIous(record)) {
      throw unlike('what it answered is not the record of these IOUs')
    }
    const cleared = { record, replayed: answer.replayed }
    if (typeof receipt !== 'string') return cleared
    const sealed = await receivedAs(record.hash.value, receipt)
    // The hash is over `data` alone: what the receipt proves must have the same signed IOUs too.
    if (canonical(sealed) !== canonical(record)) throw unlike('the receipt it answered is of other IOUs than its record')
    return { ...cleared, receipt }
  }

  /** A record, by its hash or its number. */
  async record (name: string): Promise<Record> {
    const record = await readRecord(await this.data(`/transaction/${encodeURIComponent(name)}`, fresh(name)))
    if (![record.hash.value, record.data.number].includes(name)) throw unlike(`what it answered is not record ${name}`)
    if (!await hasItsIous(record)) throw unlike(`the record ${name} that it answered has not the signed IOUs that it names`)
    return record
  }

  /** The receipt of a record, by its hash or its number, as a `.tlog-proof` file; null while it is not sealed. Throws where
   * it is that of another. Whether the log's key signed it, `verifyReceipt` says. */
  async receipt (name: string): Promise<string | null> {
    const path = `/transaction/${encodeURIComponent(name)}/receipt`
    const { status, text } = await this.request(path, { ...fresh(name), headers: { accept: 'text/plain' } })
    if (status !== 200) return null
    if (!await hasItsIous(await receivedAs(name, text))) {
      throw unlike(`the receipt of record ${name} that it answered has not the signed IOUs that the record names`)
    }
    return text
  }

  /** An IOU that cleared, and its record. */
  async iou (hash: string): Promise<ClearedIou> {
    const cleared = await this.data<ClearedIou>(`/iou/${encodeURIComponent(hash)}`)
    if (await flaw(cleared.iou) !== null || cleared.iou.hash.value !== hash) throw unlike(`what it answered is not the IOU ${hash}`)
    return cleared
  }

  /** What an address holds in a unit; null if it never touched it. */
  async balance (address: string, unit: string): Promise<Balance | null> {
    for await (const { balance } of this.holdings(address, unit)) return balance
    return null
  }

  /** What an address holds, in the order of the units: all pages of it. */
  async * holdings (address: string, unit?: string): AsyncGenerator<Holding> {
    const path = `/address/${encodeURIComponent(address)}`
    const all = this.pages<'units', Holding>(path, 'units', { counter: unit }, (last, next) =>
      last.counter < next.counter, { address })
    for await (const holding of all) {
      if (unit !== undefined && holding.counter !== unit) {
        throw unlike(`it was asked for the unit ${unit}, and what came is ${JSON.stringify(holding.counter)}`)
      }
      yield holding
    }
  }

  /** What an account can spend: its current output, then its open locks in the order of their pointers. */
  async * unspent (address: string, unit: string): AsyncGenerator<PlacedOutput> {
    const path = `/address/${encodeURIComponent(address)}/outputs/unspent`
    const all = this.pages<'outputs', PlacedOutput>(path, 'outputs', { counter: unit }, (last, next) =>
      next.content.locker !== undefined && (last.content.locker === undefined || place(last.pointer) < place(next.pointer)))
    for await (const output of all) yield ofAccount(output, address, unit)
  }

  /** The outputs of an account, newest first. */
  async * history (address: string, unit: string): AsyncGenerator<PlacedOutput> {
    const path = `/address/${encodeURIComponent(address)}/outputs/history`
    // Each has consumed the one before it in time.
    const all = this.pages<'outputs', PlacedOutput>(path, 'outputs', { counter: unit }, (last, next) =>
      last.content.sources.includes(next.pointer))
    for await (const output of all) yield ofAccount(output, address, unit)
  }

  /** What a unit comes to. */
  async unit (unit: string): Promise<Unit> {
    const found = await this.data<Unit>(`/unit/${encodeURIComponent(unit)}`)
    if (found.unit !== unit) throw unlike(`it was asked for the unit ${unit}, and what came is ${JSON.stringify(found.unit)}`)
    return found
  }

  /** Who has a unit, in the order of addresses: all pages of it. */
  async * holders (unit: string): AsyncGenerator<Holder> {
    yield * this.pages<'holders', Holder>(`/unit/${encodeURIComponent(unit)}/holders`, 'holders', {}, (last, next) =>
      last.address < next.address)
  }

  /** All pages of a list. `follows` says of two elements whether one may stand right behind the other, in the order that
   * the list is promised in; `of` is what each page says that it is of. */
  private async * pages<Name extends string, Element> (
    path: string, name: Name, parameters: { [name: string]: string | undefined }, follows: (last: Element, next: Element) => boolean,
    of: { [name: string]: string } = {}
  ): AsyncGenerator<Element> {
    let last: Element | undefined
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const given = Object.entries({ ...parameters, cursor }).filter(([, value]) => value !== undefined)
      const query = new URLSearchParams(given as Array<[string, string]>).toString()
      const page = await this.data<{ next?: string } & { [name in Name]: Element[] }>(`${path}?${query}`)
      if (!Array.isArray(page[name]) || !page[name].every(isObject)) throw unlike(`it answered no list of ${name}`)
      for (const [member, asked] of Object.entries(of)) {
        const said = (page as { [name: string]: unknown })[member]
        if (said !== asked) throw unlike(`it was asked for ${asked}, and what came is of ${JSON.stringify(said)}`)
      }
      for (const element of page[name]) {
        // Cursors prove nothing, a server makes new ones as it likes: a list that does not go on would be read for ever.
        if (last !== undefined && !holds(follows, last, element)) throw unlike(`its list of ${name} does not go on`)
        last = element
        yield element
      }
      cursor = page.next
      if (cursor !== undefined && page[name].length === 0) throw unlike(`its list of ${name} does not go on`)
    }
  }

  private async data<Data> (path: string, init?: RequestInit): Promise<Data> {
    const { data } = json(await this.request(path, init))
    if (!isObject(data)) throw unlike('its answer has no data')
    return data as Data
  }

  private async request (path: string, init?: RequestInit): Promise<Answer> {
    const url = this.url.replace(/\/+$/, '') + path
    // Called as a function of its own: browsers refuse their `fetch` as a method of something else.
    const fetch = this.fetch
    const response = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(this.timeoutMs) })
    // Browsers show of a redirect that it is one, and nothing else.
    if (response.type === 'opaqueredirect' || (response.status >= 300 && response.status < 400)) {
      await response.body?.cancel()
      throw new Error(`${url} has moved to ${response.headers.get('location') ?? 'another place'}: give that address`)
    }
    const answer = {
      status: response.status, replayed: response.headers.get('idempotent-replayed') === 'true', text: await read(response)
    }
    if (response.ok) return answer
    const kind = response.headers.get('content-type') ?? ''
    const problem = kind.startsWith('application/problem+json') ? json(answer) : {}
    if (typeof problem['code'] !== 'string') throw unlike(`it answered ${response.status} to ${url}`)
    throw new Refusal(problem as Problem)
  }
}

/** That a browser is to ask for what has a number: of a server that began anew, what it has kept is of another history. */
function fresh (name: string): RequestInit {
  return /^[0-9]{1,19}$/.test(name) ? { cache: 'no-cache' } : {}
}

/** The record of a receipt that was asked for by this hash or number. Throws where it is another's. */
async function receivedAs (name: string, receipt: string): Promise<Record> {
  const asked = `it was asked for the receipt of record ${name}, and what came is`
  const record = await recordOfReceipt(receipt).catch((why: Error) => { throw unlike(`${asked} none: ${why.message}`, why) })
  const [hash, number] = [record.hash.value, record.data.number]
  if (![hash, number].includes(name)) throw unlike(`${asked} that of record ${number} ${hash}`)
  return record
}

/** An output, which must be of this account; one that is locked is of either of its two parties. */
function ofAccount (output: PlacedOutput, address: string, unit: string): PlacedOutput {
  const { content } = output
  const isOf = isObject(content) && (content.address === address || (content.locker !== undefined && content.source === address))
  if (!isOf || content.counter !== unit) {
    throw unlike(`it was asked for ${address} in the unit ${unit}, and what came is of another account`)
  }
  return output
}

/** Whether a rule holds of two elements. Of those that lack what it looks at, it does not. */
function holds<Element> (rule: (last: Element, next: Element) => boolean, last: Element, next: Element): boolean {
  try {
    return rule(last, next)
  } catch {
    return false
  }
}

/** A pointer as a text that sorts as pointers do: 10 comes after 9. */
function place (pointer: string): string {
  const [record = '', index = ''] = pointer.split('::')
  return record + index.padStart(10, '0')
}

/** The body, which may not be larger than any answer is. */
async function read (response: Response): Promise<string> {
  const reader = response.body?.getReader()
  // What is not as it was sent is not to be believed: no byte is replaced.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let [text, bytes] = ['', 0]
  for (;;) {
    const { done, value } = await reader?.read() ?? { done: true }
    try {
      text += decoder.decode(value, { stream: !done })
    } catch (cause) {
      await reader?.cancel()
      throw unlike('its answer is not UTF-8', cause)
    }
    if (value === undefined || done) return text
    bytes += value.length
    if (bytes > ANSWER_BYTES_MAX) {
      await reader?.cancel()
      throw unlike('its answer is larger than 64 MiB')
    }
  }
}

function json ({ text }: Answer): { [name: string]: unknown } {
  let value: unknown
  try {
    value = parse(text)
  } catch (cause) {
    throw unlike(`its answer is no JSON, and begins with ${JSON.stringify(text.slice(0, 40))}`, cause)
  }
  if (!isObject(value)) throw unlike('its answer is no object')
  return value
}

function unlike (how: string, cause?: unknown): Error {
  return new Error(`this is no WebWallet server: ${how}`, cause === undefined ? {} : { cause })
}
