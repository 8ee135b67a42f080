import { wrong } from '../input.ts'
import { deriveExample } from './example.ts'
import type { EventTypeSettings } from './input.ts'
import { atPointer, isObject, isSchema, mapParts, type Schema, type SchemaObject } from './schema-walk.ts'

/** A webhook of a document as an event type, or why it is none. */
export type Webhook = { name: string } & (
  | { settings: Omit<EventTypeSettings, 'version'>; schema: string; example: string; exampleDerived: boolean }
  | { problem: string }
)

export const MOST_WEBHOOKS = 300
// As many schemas as one may be made of.
const MOST_REFERENCES = 1_000
// Far more than people nest, and less than the stack takes.
const MOST_DEPTH = 200

/** The webhooks of an OpenAPI 3.1 document (OpenAPI Specification 3.1.1, section 4.8.1). Mistakes: INVALID_INPUT at `document`. */
export function readWebhooks(text: string): Webhook[] {
  const document = readDocument(text)
  const webhooks = document.webhooks
  if (!isObject(webhooks) || Object.keys(webhooks).length === 0) {
    throw refuse('It has no webhooks: those under `webhooks` are imported, not its paths or callbacks.')
  }
  const names = Object.keys(webhooks)
  if (names.length > MOST_WEBHOOKS) {
    throw refuse(`It has ${names.length} webhooks; at most ${MOST_WEBHOOKS} are imported at a time.`)
  }
  return names.map((name) => {
    try {
      return readWebhook(document, name, webhooks[name])
    } catch (error) {
      if (error instanceof Unusable) return { name, problem: error.message }
      throw error
    }
  })
}

class Unusable extends Error {}

const refuse = (message: string) => wrong(['document'], message)

function readDocument(text: string): SchemaObject {
  if (deepest(text) > MOST_DEPTH) throw refuse(`It nests deeper than ${MOST_DEPTH} levels.`)
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (error) {
    throw refuse(
      `It is not JSON: ${(error as Error).message.slice(0, 200)}. A document in YAML must be converted first.`,
    )
  }
  const version = isObject(document) ? document.openapi : undefined
  if (typeof version !== 'string' || !/^3\.[12](\.|$)/.test(version)) {
    throw refuse(
      'It is no OpenAPI 3.1 document: `openapi` must be "3.1.0" or later. Those of 3.0 have schemas of another kind.',
    )
  }
  return document as SchemaObject
}

function deepest(text: string): number {
  let depth = 0
  let most = 0
  for (const bracket of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (bracket[0] === '{' || bracket[0] === '[') most = Math.max(most, ++depth)
    else if (bracket[0] === '}' || bracket[0] === ']') depth--
  }
  return most
}

function readWebhook(document: SchemaObject, name: string, given: unknown): Webhook {
  const item = follow(document, given, 'The webhook')
  const operation = ['post', 'put', 'patch'].map((method) => item[method]).find(isObject)
  if (operation === undefined) throw new Unusable('It has no operation `post`, `put` or `patch` with a body.')
  const body = follow(document, operation.requestBody, 'Its `requestBody`')
  const media = jsonMedia(document, body)
  if (!isSchema(media.schema)) throw new Unusable('Its body has no `schema`.')
  const schema = standalone(document, media.schema)
  const written = writtenExample(document, media)
  const example = written ?? deriveExample(schema)
  if (example === undefined)
    throw new Unusable('It has no example, and none could be derived from its schema: give one.')
  return {
    name,
    settings: {
      name,
      ...said('description', operation.description ?? operation.summary ?? item.description ?? item.summary, 2_000),
      ...said('group', Array.isArray(operation.tags) ? operation.tags[0] : undefined, 100),
      ...(typeof operation.deprecated === 'boolean' ? { deprecated: operation.deprecated } : {}),
    },
    schema: JSON.stringify(schema),
    example: JSON.stringify(example),
    exampleDerived: written === undefined,
  }
}

function said(field: 'description' | 'group', text: unknown, most: number): { description?: string; group?: string } {
  return typeof text === 'string' && text.trim() !== '' ? { [field]: text.trim().slice(0, most).toWellFormed() } : {}
}

/** The object itself, or what its `$ref` leads to. */
function follow(document: SchemaObject, given: unknown, what: string): SchemaObject {
  let value = given
  for (let hops = 0; isObject(value) && typeof value.$ref === 'string'; hops++) {
    if (hops > 10) throw new Unusable(`${what} leads from one $ref to the next without end.`)
    value = lookUp(document, value.$ref)
  }
  if (!isObject(value)) throw new Unusable(`${what} is missing.`)
  return value
}

function lookUp(document: SchemaObject, ref: string): unknown {
  const shown = JSON.stringify(ref.slice(0, 200))
  if (!ref.startsWith('#/'))
    throw new Unusable(`The $ref ${shown} leads out of the document: bundle it into one first.`)
  const found = atPointer(document, ref.slice(1))
  if (found === undefined) throw new Unusable(`The $ref ${shown} leads nowhere.`)
  return found
}

function jsonMedia(document: SchemaObject, { content }: SchemaObject): SchemaObject {
  const types = isObject(content) ? Object.keys(content) : []
  const json = types.find((type) => /^(application\/([^;]+\+)?json|\*\/\*)(;|$)/i.test(type))
  if (json === undefined) throw new Unusable('Its body is not JSON: it needs `content` of `application/json`.')
  return follow(document, (content as SchemaObject)[json], 'Its media type')
}

function writtenExample(document: SchemaObject, media: SchemaObject): unknown {
  if (media.example !== undefined) return media.example
  const [first] = isObject(media.examples) ? Object.values(media.examples) : []
  return first === undefined ? undefined : follow(document, first, 'Its example').value
}

/** The schema with everything in it that its references lead to, so that it needs the document no more. */
function standalone(document: SchemaObject, schema: Schema): Schema {
  const names = new Map<string, string>()
  const taken = new Map<string, number>()
  const waiting: string[] = []
  const rewrite = (part: Schema): Schema => {
    if (!isObject(part)) return part
    const mapped = mapParts(part, rewrite)
    if (typeof part.$ref === 'string' && part.$ref.startsWith('#'))
      mapped.$ref = `#/$defs/${nameFor(part.$ref, names, taken, waiting)}`
    return mapped
  }
  const whole = rewrite(schema)
  const definitions: Record<string, Schema> = {}
  for (let ref = waiting.shift(); ref !== undefined; ref = waiting.shift()) {
    const target = lookUp(document, ref)
    if (!isSchema(target)) throw new Unusable(`The $ref ${JSON.stringify(ref.slice(0, 200))} leads to no schema.`)
    definitions[names.get(ref) as string] = rewrite(target)
  }
  if (!isObject(whole) || waiting.length + names.size === 0) return whole
  const own = isObject(whole.$defs) ? whole.$defs : {}
  return { ...whole, $defs: { ...own, ...definitions } }
}

/** `#/components/schemas/Invoice` is called `Invoice`; a second one of that name `Invoice_2`. */
function nameFor(ref: string, names: Map<string, string>, taken: Map<string, number>, waiting: string[]): string {
  const known = names.get(ref)
  if (known !== undefined) return known
  if (names.size >= MOST_REFERENCES) throw new Unusable(`It refers to more than ${MOST_REFERENCES} schemas.`)
  const last = (ref.split('/').at(-1) as string).replace(/[^A-Za-z0-9_.-]/g, '_') || 'schema'
  let number = taken.get(last) ?? 0
  let name = last
  do {
    number++
    name = number === 1 ? last : `${last}_${number}`
  } while (number > 1 && taken.has(name))
  taken.set(name, 1).set(last, number)
  names.set(ref, name)
  waiting.push(ref)
  return name
}
