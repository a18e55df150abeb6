// Receipts: if one of these failed, a record that nobody proved would be believed, or a proof would be lost.
// Each row is judged as by `webwallet verify`.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { base64, type Bytes, concat, hex, unhex, utf8 } from '../src/bytes.js'
import { hashOf } from '../src/document.js'
import { sha256 } from '../src/hash.js'
import { canonical, Key, openCheckpoint, verifyReceipt } from '../src/index.js'
import { leafHash } from '../src/merkle.js'

const [alice, bob, log] = await Promise.all([Key.generate(), Key.generate(), Key.generate()]) as [Key, Key, Key]
const hash = 'ab'.repeat(32)
const time = '2031-01-01T00:00:00.000Z'
const account = { address: alice.address, balance: { max: '0', min: '-Infinity', net: '-1.5' }, counter: alice.address, sources: [`${hash}::4294967295`] }
const holder = { ...account, address: bob.address, balance: { max: 'Infinity', min: '-5', net: '1.5' }, sources: [] }
const lock = {
  address: bob.address, balance: { max: '2', min: '0', net: '2' }, counter: alice.address, locker: { timers: { expiry: time }, puzzle: hash },
  source: alice.address, sources: []
}
const data = { domain: 'wallet.test', inputs: [{ hash }], kind: 'record', number: '7', outputs: [account, holder, lock], time }

/** Bytes that name the key of a log, and the key as verifiers write it. */
async function keyOf (name: string): Promise<[Bytes, string]> {
  const bytes = concat(Uint8Array.of(1), unhex(log.publicKey))
  const id = (await sha256(concat(utf8(name + '\n'), bytes))).slice(0, 4)
  return [id, `${name}+${hex(id)}+${base64(bytes)}`]
}

/** A receipt in parts, each of which may be another. */
interface Parts { name: string, size: string, extension: string, extra: string, index: string, path: string[], added: string, end: string }

/** The receipt of a leaf that is alone in its log, and the note in it. */
async function sealed (leaf: string, change: Partial<Parts> = {}): Promise<{ receipt: string, note: string }> {
  const standard = { name: 'wallet.test', size: '1', extension: '', extra: base64(utf8(leaf)), index: '0', path: [], added: '', end: '' }
  const { name, size, extension, extra, index, path, added, end } = { ...standard, ...change }
  const [id] = await keyOf(name)
  const text = `${name}\n${size}\n${base64(await leafHash(utf8(leaf)))}\n${extension}`
  const line = `\u2014 ${name} ${base64(concat(id, unhex(await log.sign(utf8(text)))))}\n`
  const note = `${text}\n${line}${added}${end}`
  const lines = ['c2sp.org/tlog-proof@v1', `extra ${extra}`, `index ${index}`, ...path, '', note]
  return { receipt: lines.join('\n'), note }
}

async function recordOf (data: object, change: object = {}): Promise<{ [name: string]: unknown }> {
  return { data, hash: await hashOf(data), meta: { inputs: [] }, ...change }
}

async function judged (what: string, receipt: string, expected: boolean, name = 'wallet.test'): Promise<void> {
  const [, key] = await keyOf(name)
  const error = await verifyReceipt(receipt, key).then(() => null, (error: unknown) => error)
  assert.equal(error === null, expected, `${what}: ${String(error)}`)
  // What comes of a platform's own decoders says nothing of receipts.
  assert.ok(error === null || (error as Error).constructor === Error, `${what}: ${String(error)}`)
}

test('a receipt is of a record, whole and closed', async () => {
  const { outputs } = data
  const balance = (change: object) => [{ ...account, balance: { ...account.balance, ...change } }]
  const rows: Array<[boolean, object]> = [
    [true, {}], [true, { number: '0' }], [true, { number: '18446744073709551615' }], [true, { outputs: [] }], [true, { outputs: [lock] }],
    [true, { outputs: balance({ net: '-0' }) }],
    [false, { kind: 'block' }], [false, { kind: undefined }], [false, { more: 'x' }], [false, { domain: 'wallet.tes' }], [false, { domain: undefined }],
    [false, { number: 7 }], [false, { number: '07' }], [false, { number: '18446744073709551616' }], [false, { number: undefined }],
    [false, { time: '2031-02-29T00:00:00.000Z' }], [false, { time: undefined }],
    [false, { inputs: [] }], [false, { inputs: [hash] }], [false, { inputs: [{ hash, more: 'x' }] }], [false, { inputs: Array(101).fill({ hash }) }],
    [false, { outputs: 'all your money' }], [false, { outputs: undefined }], [false, { outputs: [[]] }], [false, { outputs: [lock, account] }],
    [false, { outputs: [...outputs, { ...account, more: 'x' }] }], [false, { outputs: [{ ...account, address: alice.address + 'x' }] }],
    [false, { outputs: [{ ...account, counter: 'x' }] }], [false, { outputs: [{ ...account, sources: [`${hash}::4294967296`] }] }],
    [false, { outputs: [{ ...account, source: alice.address }] }],
    [false, { outputs: balance({ net: '1e3' }) }], [false, { outputs: balance({ net: 'Infinity' }) }], [false, { outputs: balance({ max: '-Infinity' }) }],
    [false, { outputs: balance({ net: '9'.repeat(61) }) }], [false, { outputs: balance({ more: 'x' }) }],
    [false, { outputs: [{ ...lock, source: 'x' }] }], [false, { outputs: [{ ...lock, locker: { timers: {} } }] }],
    [false, { outputs: [{ ...lock, balance: { ...lock.balance, max: '3' } }] }], [false, { outputs: [{ ...lock, sources: [`${hash}::0`] }] }]
  ]
  for (const [expected, change] of rows) {
    const record = await recordOf(JSON.parse(JSON.stringify({ ...data, ...change })) as object)
    await judged(JSON.stringify(change).slice(0, 200), (await sealed(canonical(record))).receipt, expected)
  }
  const name = await hashOf(data)
  const wholes: Array<[boolean, object]> = [
    // Its IOUs are not looked into.
    [true, { meta: { inputs: ['x'] } }],
    [false, { meta: {} }], [false, { meta: { inputs: {} } }], [false, { meta: { inputs: [], more: 'x' } }], [false, { meta: { inputs: [null] } }],
    [false, { meta: { inputs: [1.5] } }], [false, { meta: { inputs: ['x'.repeat(61_440)] } }], [false, { more: 'x' }],
    [false, { meta: { inputs: [JSON.parse('['.repeat(14) + ']'.repeat(14))] } }], [true, { meta: { inputs: [JSON.parse('['.repeat(13) + ']'.repeat(13))] } }],
    [false, { hash: { value: name.value } }], [false, { hash: { ...name, types: 'sha256' } }], [false, { hash: { ...name, steps: 'stringify' } }],
    [false, { hash: { ...name, value: hash } }], [false, { hash: { ...name, more: 'x' } }]
  ]
  for (const [expected, change] of wholes) {
    await judged(JSON.stringify(change).slice(0, 200), (await sealed(canonical(await recordOf(data, change)))).receipt, expected)
  }
  const leaf = canonical(await recordOf(data))
  for (const text of [leaf + ' ', '\ufeff' + leaf, leaf.replace(':', ': '), leaf.replace('{"data"', '{"data":1,"data"'), '[]', '7', 'null', '']) {
    await judged(text.slice(0, 40), (await sealed(text)).receipt, false)
  }
})

test('a receipt has one spelling as text, and each line of its note is a signature', async () => {
  const leaf = canonical(await recordOf(data))
  const line = (name: string, signature = 'YWFhYWE=') => `\u2014 ${name} ${signature}\n`
  const rows: Array<[boolean, Partial<Parts>]> = [
    [true, {}], [true, { added: line('witness') }], [true, { extension: 'more\n' }], [true, { extension: ' \n' }],
    // Of Unicode's spaces none, and of other characters all that are no control characters.
    [true, { added: line('\ufeffa') }], [true, { added: line('\u200b') }], [true, { added: line('\u180e') }], [true, { added: line('a\x7f') }],
    [false, { added: line('a\u0085') }], [false, { added: line('a\u00a0') }], [false, { added: line('a\u2028') }], [false, { added: line('a\tb') }],
    [false, { added: line('a+b') }], [false, { added: line('') }], [false, { added: line('a b') }], [false, { added: 'x\n' }], [false, { added: '\n' }],
    [false, { added: line('a', 'YWFhYQ==') }], [false, { added: line('a', 'YWE=') }], [false, { added: line('a', '') }],
    [false, { added: line('a', 'YWFhYWE') }], [false, { added: line('a', 'YWFhYWF=') }], [false, { added: line('a', 'YWFh YWE=') }],
    [false, { added: line('a', 'YWFhYW\u0000E=') }],
    [false, { extension: 'a\u0001b\n' }], [false, { extension: 'a\r\n' }], [false, { extension: '\n' }], [false, { extension: 'a\n\n' }],
    [false, { end: ' ' }], [false, { end: '\n' }], [false, { size: '01' }], [false, { size: '+1' }], [false, { size: '0' }],
    [false, { index: '00' }], [false, { index: '1' }], [false, { index: '18446744073709551616' }], [false, { path: ['x'] }],
    [false, { path: [base64(new Uint8Array(32))] }], [false, { extra: base64(utf8(leaf)) + '=' }], [false, { extra: ' ' + base64(utf8(leaf)) }],
    [false, { extra: base64(Uint8Array.of(0xff)) }], [false, { extra: '' }], [false, { extra: '\u2014' }], [false, { extra: base64(utf8('{')) }]
  ]
  for (const [expected, change] of rows) {
    await judged(JSON.stringify(change), (await sealed(leaf, change)).receipt, expected)
  }
  for (const [name, expected] of [['\ufeffwallet', true], ['wal\u0085let', false], ['wal\u00a0let', false], ['wal\u0001let', false]] as const) {
    const { receipt } = await sealed(canonical(await recordOf({ ...data, domain: name })), { name })
    await judged(JSON.stringify(name), receipt, expected, name)
  }
  const [, key] = await keyOf('wallet.test')
  await assert.rejects(verifyReceipt((await sealed(leaf, { extra: base64(Uint8Array.of(0xff)) })).receipt, key), /^Error: the leaf is not UTF-8$/)
  await assert.rejects(verifyReceipt('{', key), /^Error: not JSON$/)
  const size = 2n ** 64n - 1n
  assert.equal((await openCheckpoint((await sealed(leaf, { size: `${size}` })).note, key)).size, size)
  await assert.rejects(openCheckpoint((await sealed(leaf, { size: `${size + 1n}` })).note, key), /not a number/)
})

test('a receipt as JSON proves the same', async () => {
  const record = await recordOf(data)
  const { note } = await sealed(canonical(record))
  const whole = { checkpoint: note, hash: (await hashOf(data)).value, index: '0', number: '7', path: [], record }
  const json = canonical(whole)
  const rows: Array<[boolean, string]> = [
    [true, json], [true, json + '\n'], [true, json + ' \t\r\f\n'],
    [false, json + '\v'], [false, json + '\u00a0'], [false, '{ ' + json.slice(1)], [false, json + json], [false, '{}'], [false, '{'],
    ...[{ hash }, { number: '8' }, { number: 7 }, { index: '1' }, { index: 0 }, { path: [hash] }, { path: [1] }, { more: 'x' }, { checkpoint: '' },
      { record: {} }, { record: null }].map((change): [boolean, string] => [false, canonical({ ...whole, ...change })])
  ]
  for (const [expected, text] of rows) await judged(JSON.stringify(text.slice(-120)), text, expected)
  const [, key] = await keyOf('wallet.test')
  assert.equal(canonical((await verifyReceipt(json, key)).record), canonical(record))
})
