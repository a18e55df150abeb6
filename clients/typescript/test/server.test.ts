// Answers that no server gives: if one of these failed, people would take for cleared what is not, or wait for ever.

import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'

import { hashOf } from '../src/document.js'
import { type Iou, Key, Refusal, Server, sign, write } from '../src/index.js'

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
async function recordOf (ious: Iou[], change: object = {}): Promise<{ data: object, hash: object, meta: object }> {
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
  answers({ data: {} })
  await assert.rejects(server.record('5'), /record.*missing/)
  await assert.rejects(server.balance('a', 'b'), /no list of units/)
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
  const pages = (next: (count: number) => unknown, units: unknown = [{ counter: 'u' }]): void => {
    let count = 0
    answer = (_, response) => response.end(JSON.stringify({ data: { units, next: next(count++) } }))
  }
  const all = async (): Promise<number> => {
    let read = 0
    for await (const _ of server.holdings('w')) read++
    return read
  }
  const rows: Array<[string, (count: number) => unknown, unknown?]> = [
    ['one cursor', () => 'same'], ['a circle', (count) => 'abc'[count % 3]], ['nothing on its pages', (count) => `${count}`, []]
  ]
  for (const [what, next, units] of rows) {
    pages(next, units)
    await assert.rejects(all(), /does not go on/, what)
  }
  pages((count) => count < 3 ? `${count}` : undefined)
  assert.equal(await all(), 4)
  pages(() => undefined, 'units')
  await assert.rejects(all(), /no list of units/)
  // Of another unit than was asked for.
  pages(() => undefined)
  assert.equal(await server.balance('w', 'v'), null)
})
