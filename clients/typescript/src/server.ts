// A server, by its URL: what is posted to it, what is read from it, and its refusals.

import type {
  Balance, ClearedIou, Holder, Holding, Iou, PlacedOutput, Problem, ProblemCode, Record, ServerCard, Unit
} from './types.js'

/** A request that cleared. */
export interface Cleared {
  record: Record
  /** It had cleared before, and this is the record of that time. */
  replayed: boolean
  /** The receipt, where it was waited for and came in time. */
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

  /** Why, in one word that never changes. */
  get code (): ProblemCode { return this.problem.code }

  /** What to do: nothing (`never`), the same bytes again (`same`), sign anew (`rebuild`) or wait (`later`). */
  get retry (): string { return this.problem.retry }
}

/** A server. Every method throws a `Refusal` for a refusal, and what `fetch` throws where no answer came.
 *
 * In a browser, page and server must share one origin (a proxy that puts both under one name): servers answer no CORS
 * preflight, and browsers show their answers to no page of another origin. */
export class Server {
  constructor (
    /** Such as `https://wallet.example.com`. */
    readonly url: string,
    private readonly fetch: typeof globalThis.fetch = globalThis.fetch
  ) {}

  /** Who it is: its domain, its keys, its limits. */
  async card (): Promise<ServerCard> {
    return await (await this.request('/.well-known/webwallet')).json() as ServerCard
  }

  /** Clears IOUs, all or none. Sending them again is safe for ever: the answer is the same record.
   *
   * With `waitSeconds`, 1 to 8, it waits for the receipt. */
  async clear (inputs: Iou[], waitSeconds?: number): Promise<Cleared> {
    const headers: { [name: string]: string } = { 'content-type': 'application/json' }
    if (waitSeconds !== undefined) headers['prefer'] = `wait=${waitSeconds}`
    const body = JSON.stringify({ data: { inputs } })
    const response = await this.request('/transaction', { method: 'POST', headers, body })
    const { data, receipt } = await response.json() as { data: Record, receipt?: string }
    const replayed = response.headers.get('idempotent-replayed') === 'true'
    return { record: data, replayed, ...(receipt === undefined ? {} : { receipt }) }
  }

  /** A record, by its hash or its number. */
  async record (name: string): Promise<Record> {
    return await this.data(`/transaction/${encodeURIComponent(name)}`)
  }

  /** The receipt of a record as a `.tlog-proof` file; null while it is not sealed. */
  async receipt (name: string): Promise<string | null> {
    const path = `/transaction/${encodeURIComponent(name)}/receipt`
    const response = await this.request(path, { headers: { accept: 'text/plain' } })
    const text = await response.text()
    return response.status === 200 ? text : null
  }

  /** An IOU that cleared, and its record. */
  async iou (hash: string): Promise<ClearedIou> {
    return await this.data(`/iou/${encodeURIComponent(hash)}`)
  }

  /** What an address holds in a unit; null if it never touched it. */
  async balance (address: string, unit: string): Promise<Balance | null> {
    for await (const holding of this.holdings(address, unit)) return holding.balance
    return null
  }

  /** What an address holds, in the order of the units: all pages of it. */
  async * holdings (address: string, unit?: string): AsyncGenerator<Holding> {
    yield * this.pages<'units', Holding>(`/address/${encodeURIComponent(address)}`, 'units', { counter: unit })
  }

  /** What an account can spend. */
  async * unspent (address: string, unit: string): AsyncGenerator<PlacedOutput> {
    const path = `/address/${encodeURIComponent(address)}/outputs/unspent`
    yield * this.pages<'outputs', PlacedOutput>(path, 'outputs', { counter: unit })
  }

  /** The outputs of an account, newest first. */
  async * history (address: string, unit: string): AsyncGenerator<PlacedOutput> {
    const path = `/address/${encodeURIComponent(address)}/outputs/history`
    yield * this.pages<'outputs', PlacedOutput>(path, 'outputs', { counter: unit })
  }

  /** What a unit comes to. */
  async unit (unit: string): Promise<Unit> {
    return await this.data(`/unit/${encodeURIComponent(unit)}`)
  }

  /** Who has a unit, in the order of addresses: all pages of it. */
  async * holders (unit: string): AsyncGenerator<Holder> {
    yield * this.pages<'holders', Holder>(`/unit/${encodeURIComponent(unit)}/holders`, 'holders', {})
  }

  private async * pages<Name extends string, Element> (
    path: string, name: Name, parameters: { [name: string]: string | undefined }
  ): AsyncGenerator<Element> {
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const given = Object.entries({ ...parameters, cursor }).filter(([, value]) => value !== undefined)
      const query = new URLSearchParams(given as Array<[string, string]>).toString()
      const page = await this.data<{ next?: string } & { [name in Name]: Element[] }>(`${path}?${query}`)
      yield * page[name]
      cursor = page.next
    }
  }

  private async data<Data> (path: string): Promise<Data> {
    return (await (await this.request(path)).json() as { data: Data }).data
  }

  private async request (path: string, init?: RequestInit): Promise<Response> {
    // Called as a function of its own: browsers refuse their `fetch` as a method of something else.
    const fetch = this.fetch
    const response = await fetch(this.url.replace(/\/$/, '') + path, init)
    if (response.ok) return response
    const kind = response.headers.get('content-type') ?? ''
    if (!kind.startsWith('application/problem+json')) throw new Error(`${response.status} from ${response.url}`)
    throw new Refusal(await response.json() as Problem)
  }
}
