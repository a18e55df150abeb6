// A client as the original system's documentation describes one: its SDK makes
// and signs IOUs in both schemes, fetch posts and reads them. Prints one JSON
// object a line.
import { createRequire } from 'node:module'

const url = process.argv[2]
const sdk = createRequire(process.env.WEBWALLET_TEST_SDK + '/')('@webwallet/sdk')
const say = (answer) => console.log(JSON.stringify(answer))

function party (kind) {
  const keypair = sdk.keypair.generate(kind)
  keypair.signer = sdk.address.generate({ data: keypair.public })
  return keypair
}

function iou (source, target, symbol, amount) {
  const claims = {
    domain: 'example.net',
    source: source.signer,
    target: target.signer,
    amount,
    symbol: symbol.signer,
    expiry: new Date(Date.now() + 86400000).toISOString()
  }
  return sdk.iou.write(claims).sign([source])
}

async function post (inputs) {
  const response = await fetch(url + '/transaction', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ data: { inputs } })
  })
  return { status: response.status, body: await response.json() }
}

const kinds = [
  { scheme: 'ecdsa-ed25519' },
  { scheme: 'ecdsa-ed25519', compressed: true },
  { scheme: 'eddsa-ed25519' }
]
for (const kind of kinds) {
  const scheme = kind.scheme
  const key = kind.compressed ? 'compressed' : 'default'
  const [alice, bob, carol] = [party(kind), party(kind), party(kind)]
  const issued = iou(alice, bob, alice, '10')
  for (const [name, inputs] of [['issue', [issued]], ['pay', [iou(bob, carol, alice, '4')]]]) {
    const { status, body } = await post(inputs)
    say({ what: 'cleared', name, scheme, key, status, hash: body.data?.hash?.value, body: status === 201 ? undefined : body })
  }
  const again = await post([issued])
  say({ what: 'replayed', scheme, key, status: again.status })
  const over = await post([iou(bob, carol, alice, '7')])
  say({ what: 'refused', scheme, key, status: over.status, code: over.body.code })
  const path = `/address/${bob.signer}/outputs/unspent?counter=${alice.signer}`
  const unspent = await (await fetch(url + path)).json()
  say({ what: 'balance', scheme, key, net: unspent.data.outputs[0].content.balance.net })
}
