// Hashes, canonical JSON, addresses, amounts: if one of these failed, servers would refuse what this client signs.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'

import * as bytes from '../src/bytes.js'
import { ripemd160, sha3 } from '../src/hash.js'
import { add, addressOfPublic, canonical, compare, isAddress, isAmount, parse, subtract } from '../src/index.js'
import { vectors } from './vectors.js'

test('hashes are those of OpenSSL at every length around a block', () => {
  for (let length = 0; length <= 300; length++) {
    const input = randomBytes(length)
    assert.equal(bytes.hex(sha3(input)), createHash('sha3-256').update(input).digest('hex'), `SHA3 of ${length}`)
    assert.equal(bytes.hex(ripemd160(input)), createHash('ripemd160').update(input).digest('hex'), `RIPEMD of ${length}`)
  }
})

test('canonical JSON is that of the vectors, and what would be lost is refused', () => {
  interface Case { input: string, canonical: string | null, utf8_hex?: string }
  const { cases } = vectors<{ cases: Case[] }>('canonical-json.json')
  for (const { input, canonical: expected, utf8_hex: spelled } of cases) {
    if (expected === null) {
      assert.throws(() => canonical(parse(input)), input)
      continue
    }
    const text = canonical(JSON.parse(input))
    assert.equal(text, expected)
    assert.equal(bytes.hex(bytes.utf8(text)), spelled)
  }
  assert.equal(cases.length, 16)
})

test('a member that is there twice is refused at any depth, and only there', () => {
  for (const twice of ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"b":{"a":{},"a":[]}}]', '{"a":{"b":1},"a":2}']) {
    assert.throws(() => parse(twice), /is there twice/, twice)
  }
  for (const once of ['{"a":"a","b":["a","a"]}', '{"a":{"a":{"a":1}}}', '[{"a":1},{"a":1}]', '{"\\"a\\":":1,"a":2}']) {
    assert.deepEqual(parse(once), JSON.parse(once))
  }
  assert.throws(() => parse('{"a":1'))
})

test('a number in another spelling is refused, which would be lost too', () => {
  for (const lost of ['2.0', '[2e0]', '{"a":-0}', '9007199254740993', '1E2']) assert.throws(() => parse(lost), /not spelled/, lost)
  for (const kept of ['2', '[1,-2]', '{"1.0":"2.0","a":"\\\\"}', '0.5']) assert.deepEqual(parse(kept), JSON.parse(kept))
})

test('addresses are those of the vectors', async () => {
  interface Case { public?: string, address: string, valid: boolean }
  const { cases } = vectors<{ cases: Case[] }>('addresses.json')
  for (const { public: key, address, valid } of cases) {
    assert.equal(await isAddress(address), valid, address)
    if (key !== undefined) assert.equal(await addressOfPublic(key), address)
  }
  assert.equal(cases.length, 10)
})

test('amounts are decimals of the protocol, and their arithmetic is exact', () => {
  const longest = '9'.repeat(60) + '.' + '9'.repeat(40)
  for (const good of ['0', '10', '10.50', '0.1', '0.000', longest]) assert.ok(isAmount(good), good)
  const bad = ['', '-1', '+1', '01', '.5', '1.', '1e3', '1,5', ' 1', '1\n', '0x1', 'Infinity', '1' + longest, longest + '1']
  for (const text of bad) assert.ok(!isAmount(text), text)
  assert.equal(add('0.1', '0.2'), '0.3')
  assert.equal(add('9007199254740993', '0.0000000000000000000000000000000000000001'),
    '9007199254740993.0000000000000000000000000000000000000001')
  assert.equal(subtract('10', '10.00'), '0')
  assert.equal(subtract('0.5', '1.25'), '-0.75')
  assert.equal(add('-5', '15'), '10')
  assert.equal(compare('10', '10.0'), 0)
  assert.equal(compare('-0.1', '0'), -1)
  assert.equal(compare('-Infinity', '-' + longest), -1)
  assert.equal(compare('Infinity', longest), 1)
  assert.throws(() => add('1e3', '1'))
})
