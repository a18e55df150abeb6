// A whole life against a real server: what this client signs is cleared, and what a server proves is believed.
// If one of these failed, a payment would be lost or made twice, or an unproved record believed.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'

import { base64, hex, unbase64, utf8 } from '../src/bytes.js'
import { hashOf } from '../src/document.js'
import { sha256 } from '../src/hash.js'
import {
  addressOfPuzzle, canonical, flaw, type Iou, Key, openCheckpoint, puzzle, Refusal, Server, sign, verifyReceipt, write
} from '../src/index.js'
import { countersigned, forged } from './forged.js'

const server = new Server(process.env['WEBWALLET_URL'] ?? '')
let [domain, logKey] = ['', '']

before(async () => {
  const card = await server.card()
  domain = card.domain
  logKey = card.keys[0]!
})

async function keys (): Promise<[Key, Key, Key]> {
  return await Promise.all([Key.generate(), Key.generate(), Key.generate()])
}

/** An IOU of `from` to `to` in the unit of `unit`, signed. */
async function pay (from: Key, to: Key, unit: Key, amount: string): Promise<Iou> {
  return await sign(await write({ domain, source: from.address, target: to.address, symbol: unit.address, amount }), from)
}

async function refused (request: Promise<unknown>): Promise<Refusal> {
  const error = await request.then(() => null, (error: unknown) => error)
  assert.ok(error instanceof Refusal, String(error))
  return error
}

test('issue, pay, pay again, overdraw, read', async () => {
  const [alice, bob, carol] = await keys()
  const issued = await pay(alice, bob, alice, '10.50')
  const first = await server.clear([issued])
  assert.equal(first.replayed, false)
  assert.deepEqual(first.record.data.inputs, [{ hash: issued.hash.value }])
  const paid = await server.clear([await pay(bob, carol, alice, '4'), await pay(carol, bob, alice, '0.25')])
  assert.deepEqual(paid.record.data.outputs.map(({ balance }) => balance.net), ['6.75', '3.75'])

  const again = await server.clear([issued])
  assert.deepEqual([again.replayed, canonical(again.record)], [true, canonical(first.record)])

  const over = await refused(server.clear([await pay(bob, carol, alice, '7')]))
  assert.deepEqual([over.code, over.retry, over.problem.limit, over.problem.actual],
    ['balance_below_min', 'rebuild', '0', '-0.25'])

  assert.deepEqual(await server.balance(bob.address, alice.address), { net: '6.75', min: '0', max: 'Infinity' })
  assert.equal(await server.balance(bob.address, carol.address), null)
  const units = []
  for await (const { counter, balance } of server.holdings(carol.address)) units.push([counter, balance.net])
  assert.deepEqual(units, [[alice.address, '3.75']])
  const history = []
  for await (const { content } of server.history(bob.address, alice.address)) history.push(content.balance.net)
  assert.deepEqual(history, ['6.75', '10.5'])
  for await (const { pointer } of server.unspent(bob.address, alice.address)) {
    assert.equal(pointer, `${paid.record.hash.value}::0`)
  }

  const read = await server.iou(issued.hash.value)
  assert.equal(read.transaction, first.record.hash.value)
  assert.equal(await flaw(read.iou), null)
  assert.equal(canonical(await server.record(read.number)), canonical(first.record))
  assert.equal((await refused(server.record('0'.repeat(64)))).code, 'not_found')
})

test('every page of a list is read', async () => {
  const [alice, bob] = await keys()
  // One request of many units: each key issues to bob.
  const issuers = await Promise.all(Array.from({ length: 105 }, async () => await Key.generate()))
  for (let at = 0; at < issuers.length; at += 35) {
    await server.clear(await Promise.all(issuers.slice(at, at + 35).map(async (key) => await pay(key, bob, key, '1'))))
  }
  const units = []
  for await (const { counter } of server.holdings(bob.address)) units.push(counter)
  assert.deepEqual(units, issuers.map(({ address }) => address).sort())

  // Of one unit: as many holders, changes of one account, and open locks of it, of which one record makes more than ten.
  const locker = { timers: { expiry: new Date(Date.now() + 86_400_000).toISOString() } }
  for (let at = 0; at < issuers.length; at += 35) {
    const some = issuers.slice(at, at + 35)
    await Promise.all(some.map(async (key) => await server.clear([await pay(alice, key, alice, '1')])))
    await server.clear(await Promise.all(some.map(async ({ address: target }) =>
      await sign(await write({ domain, source: alice.address, target, symbol: alice.address, amount: '1', locker }), alice))))
  }
  const count = async (list: AsyncIterable<unknown>): Promise<number> => {
    let read = 0
    for await (const _ of list) read++
    return read
  }
  const lists = [server.holders(alice.address), server.history(alice.address, alice.address), server.unspent(alice.address, alice.address)]
  assert.deepEqual(await Promise.all(lists.map(count)), [106, 108, 106])
  assert.equal(await server.balance(alice.address, bob.address), null)
})

test('a puzzle pays once enough of it has signed, one after the other', async () => {
  const [alice, bob, carol] = await keys()
  const identities = [alice, bob, carol].map(({ publicKey }) => ({ scheme: 'eddsa-ed25519' as const, public: publicKey }))
  const board = await puzzle(2, identities)
  const source = await addressOfPuzzle(board)
  const draft = await write({ domain, source, target: alice.address, symbol: source, amount: '1' })
  const half = await sign(draft, carol, board)
  assert.equal((await refused(server.clear([half]))).code, await flaw(half))
  const { record } = await server.clear([await sign(JSON.parse(JSON.stringify(half)) as Iou, alice, board)])
  assert.deepEqual(record.data.outputs.map(({ balance }) => balance.net), ['-1', '1'])

  const shouted = await puzzle(1, identities.map((identity) => ({ ...identity, public: identity.public.toUpperCase() })))
  const from = await addressOfPuzzle(shouted)
  const loud = await sign(await write({ domain, source: from, target: bob.address, symbol: from, amount: '1' }), bob, shouted)
  assert.equal(await flaw(loud), null)
  assert.equal((await server.clear([loud])).replayed, false)
})

test('what this client finds wrong, the server refuses by the same word', async () => {
  const [alice, bob] = await keys()
  const iou = await pay(alice, bob, alice, '1')
  const [signature] = iou.meta.signatures
  const changed = (change: object): Iou => ({ ...iou, meta: { signatures: [{ ...signature!, ...change }] } })
  const identities = [{ scheme: 'rsa' as 'eddsa-ed25519', public: bob.publicKey }]
  const rsa = { data: { conditions: { multisig: { threshold: 1 } }, identities } }
  const bads: Iou[] = [
    { ...iou, data: { ...iou.data, amount: '2' } },
    { ...iou, hash: { ...iou.hash, types: 'md5' as 'sha256' } },
    changed({ scheme: 'rsa' }),
    changed({ signer: alice.address.slice(0, -1) + (alice.address.endsWith('1') ? '2' : '1') }),
    changed({ public: bob.publicKey }),
    changed({ string: signature!.string.replace(/^../, (byte) => byte === '00' ? '01' : '00') }),
    await countersigned(iou, bob),
    await countersigned(await forged({ ...iou.data, amount: 10 }), alice),
    await countersigned(await forged({ ...iou.data, random: 'r'.repeat(101) }), alice),
    { ...iou, meta: { ...iou.meta, more: 'x' } as Iou['meta'] },
    { ...iou, meta: { ...iou.meta, scripts: [{ ...rsa, meta: {}, hash: await hashOf(rsa.data) }] } }
  ]
  for (const bad of bads) {
    const found = await flaw(bad)
    assert.ok(found !== null)
    assert.equal((await refused(server.clear([bad]))).code, found)
  }
})

test('what this client says of custom data, the server says', async () => {
  const [alice, bob] = await keys()
  const named = async (data: object) => hex(await sha256(await sha256(utf8(canonical(data)))))
  const said = { note: 'rent' }
  const name = await named(said)
  const hash = { steps: 'stringify:data', types: 'sha256:sha256', value: name }
  const wide = Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`key ${i}`, 'x']))
  const rows: Array<[string | undefined, unknown]> = [
    [name, undefined],
    [name, { data: said }],
    [name, { data: said, hash }],
    [await named({}), { data: {} }],
    [undefined, { data: said }],
    ['ab', undefined],
    [name, { data: said, hash: { ...hash, types: 'md5', value: 'ab' } }],
    [name, { data: { ...wide, number: 1 } }],
    [name, { data: ['rent'] }],
    [name, { data: wide, hash: { ...hash, types: 'md5' } }],
    ['0'.repeat(64), { data: said, hash: { ...hash, types: 'md5' } }],
    [name, { data: said, hash: { ...hash, steps: 'stringify' } }],
    [name, { data: { note: 'gift' } }],
    [name, { data: said, hash: { ...hash, types: 'sha256' } }],
    [name, { data: said, hash: { ...hash, value: '0'.repeat(64) } }]
  ]
  const seen = []
  for (const [custom, carried] of rows) {
    const draft = { domain, source: alice.address, target: bob.address, symbol: alice.address, amount: '1' }
    const signed = await countersigned(await forged({ ...(await write(draft)).data, custom }), alice)
    const iou = carried === undefined ? signed : { ...signed, meta: { ...signed.meta, custom: carried } } as Iou
    const found = await flaw(iou)
    const code = found === null ? null : (await refused(server.clear([iou]))).code
    if (found === null) await server.clear([iou])
    assert.equal(code, found, JSON.stringify([custom, carried]))
    seen.push(code)
  }
  assert.deepEqual(seen, [
    ...Array(4).fill(null), ...Array(5).fill('malformed'), 'too_large', 'unsupported_hash', 'unsupported_hash',
    ...Array(3).fill('hash_mismatch')
  ])
})

test('a receipt proves its record to who has the key, and nothing once a part of it was changed', async () => {
  const [alice, bob] = await keys()
  const { record, receipt } = await server.clear([await pay(alice, bob, alice, '1')], 8)
  assert.ok(receipt !== undefined)
  assert.equal(await server.receipt(record.data.number), receipt)
  const proven = await verifyReceipt(receipt, logKey)
  assert.equal(canonical(proven.record), canonical(record))
  assert.equal(proven.checkpoint.origin, domain)

  const lines = receipt.split('\n')
  const index = lines.findIndex((line) => line.startsWith('index '))
  const leaf = new TextDecoder().decode(unbase64(lines[1]!.slice('extra '.length)))
  const with_ = (at: number, line: string) => lines.with(at, line).join('\n')
  const richer = leaf.replace('"net":"1"', '"net":"2"')
  assert.notEqual(richer, leaf)
  const forgeries = {
    'another record': with_(1, `extra ${base64(utf8(richer))}`),
    'another place': with_(index, `index ${BigInt(lines[index]!.slice('index '.length)) + 1n}`),
    'another path': with_(index + 1, base64(new Uint8Array(32))),
    'another root': receipt.replace(/\n.{44}\n\n\u2014/, `\n${base64(new Uint8Array(32))}\n\n\u2014`),
    'no signature': lines.filter((line) => !line.startsWith('\u2014')).join('\n'),
    'another format': with_(0, 'c2sp.org/tlog-proof@v2')
  }
  for (const [what, forgery] of Object.entries(forgeries)) {
    assert.notEqual(forgery, receipt, what)
    await assert.rejects(verifyReceipt(forgery, logKey), Error, what)
  }
  const misnamed = logKey.replace(/\+[0-9a-f]{8}\+/, '+00000000+')
  await assert.rejects(verifyReceipt(receipt, misnamed), /the id is not that of/)
  // The key of a stranger with the same name: a server cannot be another by its domain alone.
  const stranger = 'example.net+1e6473c9+ARNsH9UyLta+US0J6sGtiEIxw627paTNpOIA7AMUgTAY'
  await assert.rejects(verifyReceipt(receipt, stranger), /not signed by/)

  const head = await (await fetch(`${server.url}/checkpoint`)).text()
  assert.ok((await openCheckpoint(head, logKey)).size >= proven.checkpoint.size)
})
