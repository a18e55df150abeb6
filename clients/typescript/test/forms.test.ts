// Forms: if one of these failed, money would go where nobody can get it, or people would sign what no server takes.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { addressOfPuzzle, flaw, type Iou, isAddress, isAmount, Key, type Puzzle, puzzle, sign, write } from '../src/index.js'
import { countersigned, forged } from './forged.js'

const [alice, bob, carol] = await Promise.all([Key.generate(), Key.generate(), Key.generate()]) as [Key, Key, Key]
const identity = (key: Key) => ({ scheme: 'eddsa-ed25519' as const, public: key.publicKey })
const hash = 'ab'.repeat(32)
const time = '2031-01-01T00:00:00.000Z'
const data = { domain: 'example.net', source: alice.address, target: bob.address, symbol: alice.address, amount: '1' }
const whole = { ...data, random: 'c2c5e3f4bd44147b', expiry: time }

test('an address is made of no puzzle from which nobody could ever pay', async () => {
  const [a, b] = [identity(alice), identity(bob)]
  const many = await Promise.all(Array.from({ length: 17 }, async () => identity(await Key.generate())))
  const rows: Array<[string, unknown, unknown[], RegExp]> = [
    ['a threshold of a form field', '2', [a, b], /threshold: an integer/],
    ['of zero', 0, [a, b], /threshold: an integer/],
    ['not whole', 1.5, [a, b], /threshold: an integer/],
    ['none', undefined, [a, b], /threshold: it is missing/],
    ['over all weights', 3, [a, b], /weigh 2, and the threshold is 3/],
    ['one member twice', 2, [a, a], /twice/],
    ['in another case', 2, [a, { ...a, public: a.public.toUpperCase() }], /twice/],
    ['a weight that is not whole', 2, [{ ...a, weight: 1.5 }, b], /weight: an integer/],
    ['a weight in quotes', 2, [{ ...a, weight: '1' }, b], /weight: an integer/],
    ['a weight below one', 1, [{ ...a, weight: -1 }, b], /weight: an integer/],
    ['no member', 1, [], /at least 1/],
    ['too many', 1, many, /at most 16/],
    ['a key that is none', 1, [a, { ...b, public: '02'.repeat(31) }], /is no public key/],
    ['a key that is not hex', 1, [a, { ...b, public: 'bob' }], /hex/],
    ['another scheme', 1, [a, { ...b, scheme: 'rsa' }], /"rsa" is not known/]
  ]
  for (const [what, threshold, identities, why] of rows) {
    await assert.rejects(puzzle(threshold as number, identities as typeof a[]), why, what)
  }
  const good = await puzzle(2, [a, b])
  for (const data of [{ ...good.data, conditions: { multisig: { threshold: 3 } } }, { ...good.data, identities: [{ ...a, name: 'Ann' }, b] }]) {
    await assert.rejects(addressOfPuzzle({ ...good, data }), /nobody could ever pay|nothing of this name/)
  }
  // What people keep with their members is no part of the address.
  const named = await puzzle(2, [{ ...a, name: 'Ann', weight: undefined } as unknown as typeof a, b])
  assert.deepEqual(named, good)
  assert.equal((await puzzle(1, many.slice(1))).data.identities.length, 16)
  assert.equal((await puzzle(5, [{ ...a, weight: 5 }, b])).data.identities[0]!.weight, 5)
})

test('what a server would refuse for its form is not written', async () => {
  const pointer = `${hash}::1`
  const rows: Array<[object, RegExp]> = [
    [{ amount: 10 }, /amount: a text/],
    [{ amount: ['10'] }, /amount: a text/],
    [{ amount: undefined }, /amount: it is missing/],
    [{ amount: '1e3' }, /amount: a decimal/],
    [{ amount: '-1' }, /amount: a decimal/],
    [{ amount: '9'.repeat(61) }, /amount: at most 60 digits/],
    [{ amount: '0' }, /an amount of zero/],
    [{ amount: '0.00' }, /an amount of zero/],
    [{ amount: '0', credit: '-5', locker: { timers: { expiry: time } } }, /neither locker/],
    [{ amount: '0', locker: { timers: { expiry: time } }, solver: { output: pointer } }, /an amount of zero/],
    [{ credit: '1e3' }, /credit: a decimal/],
    [{ credit: '--5' }, /credit: a decimal/],
    [{ credit: '-0.0' }, /credit of zero/],
    [{ credit: 5 }, /credit: a text/],
    [{ expiry: 'tomorrow' }, /expiry: a time/],
    [{ expiry: '2031-01-01T00:00:00Z' }, /expiry: a time/],
    [{ expiry: '2031-02-29T00:00:00.000Z' }, /expiry: a time/],
    [{ expiry: '2031-01-01T24:00:00.000Z' }, /expiry: a time/],
    [{ expiry: new Date() }, /expiry: a text/],
    [{ active: 0 }, /active: a text/],
    [{ random: 'short' }, /random: at least 8/],
    [{ random: 'r'.repeat(101) }, /random: at most 100/],
    [{ random: 'lone \ud800 surrogate' }, /random: a text/],
    [{ target: alice.address }, /source and target are the same/],
    [{ target: bob.address + 'x' }, /is not an address/],
    [{ target: [...bob.address] }, /target: a text/],
    [{ symbol: undefined }, /symbol: it is missing/],
    [{ locker: '-1' }, /locker: an object/],
    [{ locker: { timers: {} } }, /expiry: it is missing/],
    [{ locker: { timers: { active: time, expiry: time } } }, /before it begins/],
    [{ locker: { timers: { expiry: time }, puzzle: hash.toUpperCase() } }, /puzzle: 64/],
    [{ solver: { output: `${hash}::01` } }, /output: a hash/],
    [{ solver: { output: `${hash}::4294967296` } }, /output: a hash/],
    [{ solver: { output: pointer, hashee: '' } }, /hashee: at least 1/],
    [{ memo: 'rent' }, /memo: nothing of this name/],
    [JSON.parse('{"__proto__": {"amount": "9"}}'), /__proto__: nothing of this name/]
  ]
  for (const [change, why] of rows) {
    const draft = { ...data, ...Object.fromEntries(Object.entries(change)) }
    await assert.rejects(write(draft as typeof data), why, JSON.stringify(change))
  }
  // What is `undefined` was not given.
  const spread = await write({ ...data, expiry: undefined, random: undefined, credit: undefined } as unknown as typeof data)
  assert.equal(spread.data.random.length, 32)
  assert.ok(spread.data.expiry > new Date().toISOString() && !('credit' in spread.data))
  for (const good of [
    { amount: '0', credit: '-5' }, { credit: '5.5' }, { amount: '0', solver: { output: pointer, hashee: 'h' } },
    { locker: { timers: { active: time, expiry: '2031-01-01T00:00:00.001Z' }, puzzle: hash, script: hash }, solver: { output: pointer } },
    { expiry: '2028-02-29T23:59:59.999Z', active: '0000-01-01T00:00:00.000Z', custom: hash, random: '\u{1f600}'.repeat(100) }
  ]) assert.equal(await flaw(await sign(await write({ ...data, ...good }), alice)), null, JSON.stringify(good))
  const twins = { toString: () => '1' } as unknown as string
  assert.deepEqual([isAmount(1 as unknown as string), isAmount(['1'] as unknown as string), isAmount(twins)], [false, false, false])
  const spelled = [...alice.address] as unknown as string
  assert.deepEqual([await isAddress(spelled), await isAddress(null as unknown as string), await isAddress(alice.address)], [false, false, true])
})

/** A value with another at a place in it. */
function changed (value: unknown, [name, ...rest]: string[], to: unknown): unknown {
  if (name === undefined) return to
  const inner = changed((value as { [name: string]: unknown })[name], rest, to)
  if (Array.isArray(value)) return value.with(Number(name), inner)
  // As JSON has it: `__proto__` too is a member like any other.
  return Object.fromEntries([...Object.entries(value as object).filter(([other]) => other !== name), [name, inner]])
}

test('an IOU of another form is malformed, whatever it is', async () => {
  const board = await puzzle(1, [identity(alice), identity(bob)])
  const source = await addressOfPuzzle(board)
  const signed = await sign(await write({ ...whole, source, symbol: source, target: carol.address, custom: hash }), alice, board)
  const iou = { ...signed, meta: { ...signed.meta, custom: { data: { note: 'x' } } } }
  assert.equal(await flaw(iou), 'hash_mismatch')
  const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels))
  const malformed: Array<[string, unknown]> = [
    ['', null], ['', undefined], ['', 7], ['', 'iou'], ['', {}], ['', []], ['data', null], ['meta', {}], ['hash', {}], ['more', 'x'],
    ['data.amount', '\u{1f600}'], ['data.amount', 10], ['data.amount', null], ['data.amount', '0'], ['data.expiry', 'soon'],
    ['data.expiry', '+02031-01-01T00:00:00.000Z'], ['data.locker', '-1'], ['data.solver', {}], ['data.domain', []],
    ['data.credit', '0'], ['data.target', source], ['data.custom', 'ab'], ['data.more', 'x'], ['data.__proto__', 'x'],
    ['data.constructor', 'x'], ['hash.more', 'x'], ['hash.value', hash.toUpperCase()], ['hash.steps', 1], ['meta.more', 'x'],
    ['meta.signatures', {}], ['meta.signatures.0', 'x'], ['meta.signatures.0.more', 'x'], ['meta.signatures.0.public', 'x'],
    ['meta.signatures.0.string', ''], ['meta.signatures.0.script', 'ab'], ['meta.signatures.0.linker', {}],
    ['meta.scripts', []], ['meta.scripts', [board, board]], ['meta.scripts.0.meta', { a: 'x' }], ['meta.scripts.0.data.more', 'x'],
    ['meta.scripts.0.data.identities', []], ['meta.scripts.0.data.identities', [identity(alice), identity(alice)]],
    ['meta.scripts.0.data.identities.0.weight', '1'], ['meta.scripts.0.data.identities.0.weight', 2 ** 31],
    ['meta.scripts.0.data.identities.0.name', 'Ann'], ['meta.scripts.0.data.conditions.multisig.threshold', '1'],
    ['meta.custom', { data: {}, more: 'x' }], ['meta.custom.data.n', 1], ['meta.custom.data.n', true], ['meta.custom.data.n', null],
    ['meta.custom.data.n', new Date()], ['meta.custom.data.n', '\ud800'], ['meta.custom.data.n', deep(10)], ['meta.custom.data.n', deep(50_000)]
  ]
  const large: Array<[string, unknown]> = [
    ['data.amount', '9'.repeat(61)], ['data.amount', '0.' + '1'.repeat(41)], ['data.credit', '-' + '9'.repeat(61)],
    ['data.random', 'r'.repeat(101)], ['data.solver', { output: `${hash}::0`, hashee: 'h'.repeat(101) }],
    ['meta.signatures', Array(17).fill(iou.meta.signatures[0])],
    ['meta.scripts', await Promise.all(Array.from({ length: 17 }, async (_, i) => await puzzle(1, [{ ...identity(bob), weight: i + 1 }])))],
    ['meta.scripts.0.data.identities', Array.from({ length: 17 }, (_, i) => ({ scheme: 'x', public: (10 + i).toString() }))],
    ['meta.custom.data.n', Array(8200).fill('')], ['meta.custom.data.n', 'x'.repeat(130_000)]
  ]
  for (const [expected, rows] of [['malformed', malformed], ['too_large', large]] as const) {
    for (const [at, to] of rows) {
      const bad = changed(iou, at.split('.').filter((name) => name !== ''), to) as Iou
      assert.equal(await flaw(bad), expected, `${at}, row ${rows.indexOf(rows.find((row) => row[1] === to)!)}`)
    }
  }
  assert.equal(await flaw(changed(iou, ['meta', 'custom', 'data', 'n'], deep(9)) as Iou), 'hash_mismatch')
})

test('nobody signs who would spoil the IOU', async () => {
  const board = await puzzle(1, [identity(alice), identity(bob)])
  const own = await write(data)
  const shared = await write({ ...data, source: await addressOfPuzzle(board), target: carol.address })
  const spoiled: Array<[RegExp, Iou, Key, Puzzle?]> = [
    [/not that of the source/, own, bob],
    [/not that of the source/, shared, alice],
    [/does not name this key/, shared, carol, board],
    [/amount: a text/, await forged({ ...whole, amount: 10 }), alice],
    [/threshold: an integer/, shared, alice, { ...board, data: { ...board.data, conditions: { multisig: { threshold: '1' as unknown as number } } } }],
    [/iou: /, null as unknown as Iou, alice]
  ]
  for (const [why, iou, key, puzzle] of spoiled) await assert.rejects(sign(iou, key, puzzle), why)
  assert.equal(await flaw(await sign(own, alice)), null)
  assert.equal(await flaw(await sign(shared, bob, board)), null)

  const full = await write({ ...data, source: alice.address })
  let [iou, signed] = [full, 0]
  for (; signed < 16; signed++) iou = await countersigned(iou, bob)
  await assert.rejects(sign(iou, alice), /at most 16/)
})

test('what could never clear is not written, nor taken for good', async () => {
  const far = new Date(Date.now() + 3661 * 86_400_000).toISOString()
  const rows: Array<[object, RegExp, string | null]> = [
    [{ source: bob.address, target: alice.address, credit: '-5' }, /only the issuer/, 'credit_not_by_issuer'],
    [{ active: '2031-01-01T00:00:00.001Z', expiry: time }, /before 2031-01-01T00:00:00.001Z/, 'not_yet_active'],
    // By the clock of this machine, which another may doubt.
    [{ expiry: '2001-01-01T00:00:00.000Z' }, /is over/, null],
    [{ expiry: far }, /more than 3660 days/, null],
    [{ domain: 'Local Host' }, /is no domain/, null]
  ]
  for (const [change, why, code] of rows) {
    const draft = { ...whole, ...change }
    await assert.rejects(write(draft), why, JSON.stringify(change))
    const key = draft.source === bob.address ? bob : alice
    assert.equal(await flaw(await sign(await forged(draft), key)), code, JSON.stringify(change))
  }
  const later = await write({ ...whole, active: far, expiry: new Date(Date.parse(far) + 1).toISOString() })
  assert.equal(await flaw(await sign(later, alice)), null)
})
