// The documents of the protocol, by the names of the server's OpenAPI document. `openapi.ts` is generated from it.

import type { components } from './openapi.js'

type Schemas = components['schemas']

export type { components, operations, paths } from './openapi.js'
export type Balance = Schemas['Balance']
export type Block = Schemas['Block']
export type ClearedIou = Schemas['ClearedIou']
export type HashOf = Schemas['HashOf']
export type Holder = Schemas['Holder']
export type Holding = Schemas['Holding']
export type KnownCode = Schemas['KnownCode']
export type Iou = Schemas['Iou']
export type IouData = Schemas['IouData']
export type Output = Schemas['Output']
export type PlacedOutput = Schemas['PlacedOutput']
export type Problem = Schemas['Problem']
/** A code that this client knows; or that of a later server, of which `status` and `retry` say what to do. */
export type ProblemCode = KnownCode | (string & {})
export type Puzzle = Schemas['Puzzle']
export type PuzzleData = Schemas['PuzzleData']
export type Record = Schemas['Record']
export type ServerCard = Schemas['Server']
export type Signature = Schemas['Signature']
export type Unit = Schemas['Unit']
