// All that is exported, and nothing else.

export { addressOfPublic, isAddress } from './address.js'
export { add, compare, isAmount, subtract } from './amount.js'
export { type Draft, flaw, sign, write } from './iou.js'
export { canonical, parse } from './json.js'
export { Key } from './key.js'
export { addressOfPuzzle, puzzle } from './puzzle.js'
export { type Checkpoint, openCheckpoint, type Proven, verifyReceipt } from './receipt.js'
export { type Cleared, Refusal, Server } from './server.js'
export { type Scheme, SCHEMES, verify } from './signature.js'
export type * from './types.js'
