// Writes src/openapi.ts of the server's OpenAPI document: node types.mjs DOCUMENT OUTPUT
//
// The document says that answers may have more members one day, and so the objects of other languages' clients keep what they do not
// know. A type with any member at all would let every misspelt one pass here, and needs none: JavaScript keeps them anyway.

import { readFileSync, writeFileSync } from 'node:fs'
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript'

const [document, output] = process.argv.slice(2)
const named = JSON.parse(readFileSync(document, 'utf8'), (_, value) => {
  if (value?.properties !== undefined && value.additionalProperties === true) delete value.additionalProperties
  return value
})
writeFileSync(output, COMMENT_HEADER + astToString(await openapiTS(named)))
