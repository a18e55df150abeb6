// Answers that no server gives: if one of these failed, people would take for cleared what is not, or wait for ever.

import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'

import { base64, utf8 } from '../src/bytes.js'
import { hashOf } from '../src/document.js'
import { canonical, type Iou, Key, Refusal, Server, sign, write } from '../src/index.js'

/** What is answered, by the path it is asked at, and what was asked. */
let answer: (request: IncomingMessage, response: ServerResponse) => void = () => {}
const asked: string[] = []
const liar = createServer((request, response) => {
  asked.push(request.url ?? '')
  request.resume().on('end', () => { answer(request, response) })
})
let server = new Server('')

before(async () => {
  await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve))
  server = new Server(`http://127.0.0.1:${(liar.address() as AddressInfo).port}/`)
})

after(() => {
  liar.closeAllConnections()
  liar.close()
})

function answers (body: unknown, status = 200, kind = 'application/json'): void {
  answer = (_, response) => response.writeHead(status, { 'content-type': kind }).end(typeof body === 'string' ? body : JSON.stringify(body))
}

async function pays (domain: string): Promise<Iou> {
  const [alice, bob] = await Promise.all([Key.generate(), Key.generate()]) as [Key, Key]
  return await sign(await write({ domain, source: alice.address, target: bob.address, symbol: alice.address, amount: '1' }), alice)
}

/** The record of some IOUs, as far as can be told without clearing them. */
async function recordOf (ious: Iou[], change: object = {}): Promise<{ data: object, hash: { value: string }, meta: object }> {
  const inputs = ious.map(({ hash: { value } }) => ({ hash: value }))
  const data = { domain: 'example.net', inputs, kind: 'record', number: '5', outputs: [], time: '2031-01-01T00:00:00.000Z', ...change }
  return { data, hash: await hashOf(data), meta: { inputs: ious } }
}

test('only the record of what was sent is believed', async () => {
  const [one, two, three] = await Promise.all([pays('example.net'), pays('example.net'), pays('example.net')]) as [Iou, Iou, Iou]
  const record = await recordOf([one, two])
  for (const sent of [[one, two], [two, one]]) {
    answers({ data: record }, 201)
    assert.deepEqual(await server.clear(sent), { record, replayed: false })
  }
  const renamed = { ...one, hash: three.hash }
  const rows: Array<[string, Iou[], unknown]> = [
    ['nothing', [one], {}], ['null', [one], null], ['a list', [one], []], ['no JSON', [one], '<html>'], ['no body', [one], ''],
    ['a key twice', [one, two], JSON.stringify({ data: record }).replace('{', '{"data":{},')],
    ['no record', [one], { data: { data: { number: '1', kind: 'record' }, hash: {}, meta: {} } }],
    ['of another payment', [three], { data: record }], ['of more', [one], { data: record }], ['of less', [one, two, three], { data: record }],
    ['of one twice', [one, two], { data: await recordOf([one, one]) }],
    ['of another hash', [one, two], { data: { ...record, hash: (await recordOf([one])).hash } }],
    ['of another server', [one, two], { data: await recordOf([one, two], { domain: 'example.com' }) }],
    ['of an IOU that has another name', [renamed], { data: await recordOf([three]) }]
  ]
  for (const [what, sent, body] of rows) {
    for (const status of [200, 201]) {
      answers(body, status)
      await assert.rejects(server.clear(sent), /^Error: this is no WebWallet server: /, `${what} ${status}`)
    }
  }
  answer = (_, response) => response.writeHead(204).end()
  await assert.rejects(server.clear([one]), /is no JSON/)

  answers({ data: record })
  assert.deepEqual(await server.record('5'), record)
  await assert.rejects(server.record('4'), /is not record 4/)
  answer = (_, response) => response.end(Buffer.of(0x7b, 0xff))
  await assert.rejects(server.record('5'), /^Error: this is no WebWallet server: its answer is not UTF-8/)
  answers({ data: {} })
  await assert.rejects(server.record('5'), /record.*missing/)
  await assert.rejects(server.balance('a', 'b'), /no list of units/)
})

/** A receipt of whatever is in it: nobody has signed it. */
function receiptOf (record: object): string {
  return `c2sp.org/tlog-proof@v1\nextra ${base64(utf8(canonical(record)))}\nindex 4\n\nnote`
}

test('only the receipt of the record that was asked for is handed out', async () => {
  const [one, two] = await Promise.all([pays('example.net'), pays('example.net')]) as [Iou, Iou]
  const [own, other] = await Promise.all([recordOf([one]), recordOf([two], { number: '4' })])
  const [asked, came] = [own.hash.value, `what came is that of record 4 ${other.hash.value}`]
  answers({ data: own, receipt: receiptOf(own) }, 201)
  assert.deepEqual(await server.clear([one], 2), { record: own, replayed: false, receipt: receiptOf(own) })
  const rows: Array<[string, string]> = [
    [receiptOf(other), `asked for the receipt of record ${asked}, and ${came}`],
    [receiptOf({ ...own, meta: { inputs: [] } }), 'the receipt it answered is of other IOUs than its record'],
    [receiptOf({}), `asked for the receipt of record ${asked}, and what came is none`], ['', 'what came is none']
  ]
  for (const [receipt, why] of rows) {
    answers({ data: own, receipt }, 201)
    await assert.rejects(server.clear([one], 2), (error) => String(error).includes(why), why)
  }

  answers(receiptOf(own), 200, 'text/plain')
  for (const name of [asked, '5']) assert.equal(await server.receipt(name), receiptOf(own))
  for (const name of [asked, '5']) {
    answers(receiptOf(other), 200, 'text/plain')
    await assert.rejects(server.receipt(name), (error) => String(error).includes(`the receipt of record ${name}, and ${came}`))
    answers('not sealed yet', 200, 'text/plain')
    await assert.rejects(server.receipt(name), /what came is none: not a receipt/)
  }
  answers({ data: { state: 'cleared', number: '5' } }, 202)
  assert.equal(await server.receipt('5'), null)
})

test('a wait that no server understands is not sent', async () => {
  // Passed over by the server, it would leave a payment without the receipt that was asked for.
  const iou = await pays('example.net')
  const before = asked.length
  for (const wait of [0, -1, 9, 1.5, NaN, Infinity]) await assert.rejects(server.clear([iou], wait), RangeError, `${wait}`)
  assert.equal(asked.length, before)
})

test('slashes at the end of a URL are no part of it, and what has a number is asked for again', async () => {
  // What a browser kept of an older server at the same URL would be shown in place of the record.
  const record = await recordOf([await pays('example.net')])
  const sent: Array<[string, string | undefined]> = []
  const recording = async (url: unknown, init?: RequestInit): Promise<Response> => {
    sent.push([String(url), init?.cache])
    return String(url).endsWith('/receipt') ? new Response(receiptOf(record)) : Response.json({ data: record })
  }
  const other = new Server('http://host//', recording as typeof fetch)
  const hash = record.hash.value
  for (const name of ['5', hash]) {
    await other.record(name)
    await other.receipt(name)
  }
  assert.deepEqual(sent, [
    ['http://host/transaction/5', 'no-cache'], ['http://host/transaction/5/receipt', 'no-cache'],
    [`http://host/transaction/${hash}`, undefined], [`http://host/transaction/${hash}/receipt`, undefined]
  ])
})

test('a server that has moved is not followed', async () => {
  const iou = await pays('example.net')
  const record = await recordOf([iou])
  for (const status of [301, 302, 303, 307, 308]) {
    answer = (request, response) => request.url === '/elsewhere'
      ? response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ data: record }))
      : response.writeHead(status, { location: '/elsewhere' }).end()
    await assert.rejects(server.clear([iou]), /has moved to \/elsewhere/, `${status}`)
    await assert.rejects(server.card(), /has moved to \/elsewhere/, `${status}`)
  }
  assert.ok(!asked.includes('/elsewhere'))
})

test('a refusal is one only with its code', async () => {
  const [problem, named] = ['application/problem+json', { code: 'not_found', retry: 'never', detail: 'nothing' }]
  answers(named, 404, problem)
  await assert.rejects(server.card(), (error) => error instanceof Refusal && error.code === 'not_found')
  for (const [body, kind] of [['null', problem], ['{}', problem], ['<html>', problem], [JSON.stringify(named), 'text/html']] as const) {
    answers(body, 404, kind)
    await assert.rejects(server.card(), (error) => !(error instanceof Refusal) && /no WebWallet server/.test(String(error)), body)
  }
})

test('a silent server is not waited for, and an endless answer is not read', async () => {
  const hasty = new Server(server.url, undefined, 100)
  answer = () => {}
  await assert.rejects(hasty.card(), { name: 'TimeoutError' })
  answer = (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).write('{"data":')
  await assert.rejects(hasty.card(), { name: 'TimeoutError' })

  let sent = 0
  answer = (_, response) => {
    const piece = Buffer.alloc(1 << 20, 'x')
    const more = (): void => {
      do sent += piece.length; while (sent < 1 << 30 && response.write(piece))
    }
    response.writeHead(200, { 'content-type': 'application/json' }).on('drain', more)
    more()
  }
  await assert.rejects(server.record('1'), /larger than 64 MiB/)
  assert.ok(sent < 1 << 28, `${sent}`)
})

test('a list that does not go on is not read for ever', async () => {
  const pages = (name: string, next: (count: number) => unknown, elements: (count: number) => unknown): void => {
    let count = 0
    answer = (_, response) => response.end(JSON.stringify({ data: { address: 'w', [name]: elements(count), next: next(count++) } }))
  }
  const all = async (list: AsyncIterable<unknown>): Promise<number> => {
    let read = 0
    // Where nothing else ends it, this does.
    for await (const _ of list) if (++read > 1000) break
    return read
  }
  const output = (pointer: string, change: object = {}) => [{ pointer, content: { address: 'w', counter: 'v', sources: [], ...change } }]
  const lock = (pointer: string) => output(pointer, { locker: {} })
  const history = (count: number) => output(`a::${9 - count}`, { sources: ['b::0', `a::${8 - count}`] })
  const lists = {
    units: () => server.holdings('w'),
    holders: () => server.holders('w'),
    unspent: () => server.unspent('w', 'v'),
    history: () => server.history('w', 'v')
  }
  const rows: Array<[keyof typeof lists, boolean, (count: number) => unknown]> = [
    ['units', true, (count) => [{ counter: `u${count}` }]], ['units', false, () => [{ counter: 'u' }]], ['units', false, () => []],
    ['units', false, (count) => [{ counter: `u${9 - count}` }]], ['units', false, (count) => [{ counter: 'abc'[count % 3] }]],
    ['units', false, () => [{ counter: 'u' }, { counter: 'u' }]],
    ['units', false, () => [{}]], ['units', false, () => [null]], ['units', false, () => 'units'],
    ['holders', true, (count) => [{ address: `w${count}` }]], ['holders', false, () => [{ address: 'w' }]],
    ['holders', false, (count) => [{ address: `w${9 - count}` }]],
    ['unspent', true, (count) => count === 0 ? output('f::0') : lock(`a::${count + 7}`)], ['unspent', true, (count) => lock(`${count}::0`)],
    ['unspent', false, (count) => output(`a::${count}`)], ['unspent', false, (count) => count < 2 ? lock(`a::${count}`) : output('f::0')],
    ['unspent', false, () => lock('a::0')], ['unspent', false, (count) => lock(`a::${11 - count}`)], ['unspent', false, () => [{}]],
    ['history', true, history], ['history', false, (count) => count < 2 ? history(count) : output('a::6')],
    ['history', false, (count) => output(`a::${count}`)], ['history', false, () => [{}]]
  ]
  for (const [name, goesOn, elements] of rows) {
    const member = name === 'unspent' || name === 'history' ? 'outputs' : name
    const what = `${name} ${String(elements)}`
    pages(member, (count) => count < 3 ? `${count}` : undefined, elements)
    if (goesOn) assert.equal(await all(lists[name]()), 4, what)
    pages(member, (count) => `${count}`, elements)
    if (!goesOn) await assert.rejects(all(lists[name]()), /does not go on|no list of|another account/, what)
  }

  // Of one unit there is one balance, whatever comes after it.
  let read = 0
  pages('units', (count) => `${count}`, (count) => {
    read = count
    return [{ counter: `u${count}`, balance: { net: '1' } }]
  })
  assert.deepEqual(await server.balance('w', 'u0'), { net: '1' })
  assert.equal(read, 0)
  await assert.rejects(server.balance('w', 'v'), /asked for the unit v, and what came is "u1"/)
})

test('what is of somebody else is not taken for what was asked for', async () => {
  const [one, two] = await Promise.all([pays('example.net'), pays('example.net')]) as [Iou, Iou]
  const [record, cleared] = [await recordOf([one]), { iou: one, number: '5', transaction: 'ab'.repeat(32) }]
  const unsigned = { ...one, meta: { signatures: [] } }
  const content = { address: 'w', counter: 'v', sources: [], balance: { net: '1' } }
  const list = (content: object) => ({ outputs: [{ pointer: 'a::0', content }] })
  const first = async (list: AsyncIterable<unknown>) => { for await (const element of list) return element }
  const rows: Array<[() => Promise<unknown>, object, object[]]> = [
    [() => server.record('5'), record, [[], [two], [one, one], [unsigned]].map((inputs) => ({ ...record, meta: { inputs } }))],
    [() => server.clear([one]), record, [[two], [unsigned]].map((inputs) => ({ ...record, meta: { inputs } }))],
    [() => server.iou(one.hash.value), cleared, [two, unsigned, {}].map((iou) => ({ ...cleared, iou }))],
    [() => server.balance('w', 'v'), { address: 'w', units: [{ counter: 'v', balance: { net: '1' } }] },
      [{ address: 'x', units: [{ counter: 'v', balance: { net: '9' } }] }]],
    [() => first(server.history('w', 'v')), list(content), [{ address: 'x' }, { counter: 'u' }].map((change) => list({ ...content, ...change }))],
    [() => first(server.unspent('w', 'v')), list(content), [list({ ...content, address: 'x' })]],
    [() => server.unit('v'), { unit: 'v', supply: '1' }, [{ unit: 'u', supply: '1' }]]
  ]
  for (const [ask, truth, lies] of rows) {
    answers({ data: truth })
    await ask()
    for (const lie of lies) {
      answers({ data: lie })
      await assert.rejects(ask(), /this is no WebWallet server/, JSON.stringify(lie).slice(0, 200))
    }
  }
  answers(receiptOf(record), 200, 'text/plain')
  assert.equal(await server.receipt('5'), receiptOf(record))
  answers(receiptOf({ ...record, meta: { inputs: [unsigned] } }), 200, 'text/plain')
  await assert.rejects(server.receipt('5'), /has not the signed IOUs/)
})
