import fc from 'fast-check'
import { coerceInputValue, type GraphQLInputType, isListType, isNonNullType, isObjectType, parse } from 'graphql'
import { expect, test } from 'vitest'
import { LIMITS, LIST_SIZES, WEIGHTS } from '../../src/graphql/limits.ts'
import { buildSchema } from '../../src/graphql/schema.ts'
import { faultsInVariables } from '../../src/graphql/variables.ts'
import { startApi } from './api.ts'

const schema = buildSchema()

const times = (count: number, field: string) => Array.from({ length: count }, (_, n) => `a${n}: ${field}`).join(' ')
const CANARY = 'whsec_canary_that_nobody_may_see'
const CREATE = parse('mutation ($it: EndpointCreateInput!) { endpointCreate(input: $it) { secret } }')

function faultsOf(it: unknown, hideNames = false) {
  return faultsInVariables({ schema, document: CREATE, variableValues: { it } }, { hideNames, limits: LIMITS })
}

test.each`
  given                                                       | path                                   | message
  ${null}                                                     | ${'input'}                             | ${'must not be null.'}
  ${undefined}                                                | ${'input'}                             | ${'is required, and was not given.'}
  ${CANARY}                                                   | ${'input'}                             | ${'must be an object, a EndpointCreateInput; a string was given.'}
  ${{ url: 5 }}                                               | ${'input.url'}                         | ${'must be a string; a number was given.'}
  ${{ url: null }}                                            | ${'input.url'}                         | ${'must not be null.'}
  ${{}}                                                       | ${'input.url'}                         | ${'is required, and was not given.'}
  ${{ url: [CANARY] }}                                        | ${'input.url'}                         | ${'must be a string; a list was given.'}
  ${{ url: { secret: CANARY } }}                              | ${'input.url'}                         | ${'must be a string; an object was given.'}
  ${{ url: 'x', timeoutSeconds: CANARY }}                     | ${'input.timeoutSeconds'}              | ${'must be a whole number of seconds from 1 to 30, like 15; a string was given.'}
  ${{ url: 'x', timeoutSeconds: 1.5 }}                        | ${'input.timeoutSeconds'}              | ${'must be a whole number of seconds from 1 to 30, like 15; one with a fraction or an exponent was given.'}
  ${{ url: 'x', method: CANARY }}                             | ${'input.method'}                      | ${'must be one of PATCH, POST, PUT.'}
  ${{ url: 'x', eventTypes: ['a', 5] }}                       | ${'input.eventTypes.1'}                | ${'must be a string; a number was given.'}
  ${{ url: 'x', retry: CANARY }}                              | ${'input.retry'}                       | ${'must be an object, a RetryPolicyInput; a string was given.'}
  ${{ url: 'x', retry: { fixed: { attempts: 3 } } }}          | ${'input.retry.fixed.intervalSeconds'} | ${'is required, and was not given.'}
  ${{ url: 'x', retry: { delaysSeconds: [1], fixed: null } }} | ${'input.retry'}                       | ${'must have exactly one field'}
  ${{ url: 'x', retry: { fixed: null } }}                     | ${'input.retry'}                       | ${'must have exactly one field'}
  ${{ url: 'x', nonsense: CANARY }}                           | ${'input.nonsense'}                    | ${'there is no field "nonsense": it must be one of EndpointCreateInput ('}
  ${JSON.parse('{"url":"x","__proto__":{"method":"PUT"}}')}   | ${'input.__proto__'}                   | ${'there is no field "__proto__"'}
`('$given is refused at $path, and not repeated', ({ given, path, message }) => {
  const faults = faultsOf(given)
  expect(faults.map(({ extensions }) => [extensions.code, extensions.path])).toEqual([
    ['INVALID_INPUT', path.split('.')],
  ])
  expect(faults[0]?.message.startsWith(`Variable "$it", ${path}: ${message}`), faults[0]?.message).toBe(true)
  expect(JSON.stringify(faults)).not.toContain('canary')
})

test('what a document or a body is refused for is not repeated either', async () => {
  const { send, url, adminKey } = await startApi()
  const create = (members: string) =>
    `mutation { endpointCreate(input: { url: "https://a.example", ${members} }) { secret } }`
  for (const [document, code, message] of [
    [create(`secret: { of: "${CANARY}" }`), 'INVALID_INPUT', 'input.secret: must be a string; an object was given.'],
    [create(`secret: ["${CANARY}"]`), 'INVALID_INPUT', 'input.secret: must be a string; a list was given.'],
    [create('headers: [{ value: "x" }]'), 'INVALID_INPUT', 'Field "HeaderInput.name" of required type'],
    [create(`secret: "a" "${CANARY}"`), 'GRAPHQL_PARSE_FAILED', 'Syntax Error: Expected Name, found String.'],
    [create(`secret: "a" """${CANARY}"""`), 'GRAPHQL_PARSE_FAILED', 'Syntax Error: Expected Name, found BlockString.'],
    [create(`secret prk_${CANARY.repeat(2)}`), 'GRAPHQL_PARSE_FAILED', 'Syntax Error: Expected ":", found Name.'],
    [create('secret short'), 'GRAPHQL_PARSE_FAILED', 'Syntax Error: Expected ":", found Name "short".'],
    [`{ endpoints(tenant: "${adminKey}") { nodes { id } } }`, 'NOT_FOUND', 'This is an API key or a token.'],
    [
      `{ deliveries(filter: { endpointIds: ["${CANARY}"] }) { nodes { id } } }`,
      'INVALID_INPUT',
      '"whsec_ca…" is not an id',
    ],
  ] as const) {
    const { errors } = await send(document)
    expect(errors).toMatchObject([{ message: expect.stringContaining(message), extensions: { code } }])
    expect(JSON.stringify(errors)).not.toMatch(/canary|prk_.{9}/)
  }
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${adminKey}` }
  for (const [body, why] of [
    [`{"query":"{ viewer { id } }","variables":{"secret":${CANARY}}}`, "Unexpected token 'w'"],
    ['{"query":"{ viewer { id } }","variables":{"a" "b"}}', 'at position'],
    [`${CANARY}`, "Unexpected token 'w'"],
  ] as const) {
    const response = await fetch(url, { method: 'POST', headers, body })
    const { errors } = (await response.json()) as { errors: object[] }
    expect(errors).toMatchObject([{ message: expect.stringContaining(`The body is not JSON: `), extensions: {} }])
    expect(JSON.stringify(errors)).toContain(why)
    expect(JSON.stringify(errors)).not.toContain('whsec')
  }
})

test('what is wrong with a variable is found exactly where GraphQL finds it', () => {
  const type = schema.getType('EndpointCreateInput') as GraphQLInputType
  const scalar = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constantFrom(null, undefined, 'POST', 'https://x.example', 2 ** 31, Number.NaN),
  )
  const list = fc.array(scalar, { maxLength: 3 })
  const members = fc.record(
    {
      delaysSeconds: fc.oneof(list, scalar),
      fixed: fc.oneof(scalar, fc.record({ intervalSeconds: scalar, attempts: scalar }, { requiredKeys: [] })),
    },
    { requiredKeys: [] },
  )
  const input = fc.record(
    {
      url: fc.oneof({ weight: 4, arbitrary: fc.constant('https://x.example') }, scalar),
      eventTypes: fc.oneof(list, scalar, fc.array(list, { maxLength: 2 })),
      method: scalar,
      timeoutSeconds: scalar,
      ratePerSecond: scalar,
      retry: fc.oneof(members, list, scalar),
      toString: scalar,
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(input, list, scalar), (it) => {
      let refused = it === null || it === undefined
      if (!refused) coerceInputValue(it, type, () => (refused = true))
      expect(faultsOf(it).length > 0).toBe(refused)
    }),
    { numRuns: 500 },
  )
})

test('no more than twenty faults are told, however many there are, and names only where introspection is allowed', () => {
  expect(faultsOf({ url: 'x', eventTypes: Array.from({ length: 10_000 }, () => 5) })).toHaveLength(20)
  const endless = faultsOf({ url: 'x', eventTypes: Array.from({ length: 1_000_000 }, () => 'a') })
  expect(endless.map(({ message }) => message)).toEqual([
    'Variable "$it", input.eventTypes: has 1000000 entries; no list may have more than 10000.',
  ])
  const hidden = JSON.stringify(faultsOf({ url: 'x', nonsense: 1, method: 'GET', retry: {} }, true))
  expect(hidden).not.toMatch(/PATCH|timeoutSeconds|delaysSeconds/)
})

test('values in the document are refused in the same way', async () => {
  const { send, newKey } = await startApi()
  const key = await newKey()
  for (const [input, path, message] of [
    [`url: 5`, 'input.url', 'input.url: must be a string; a number was given.'],
    [`url: ${CANARY}`, 'input.url', 'input.url: must be a string; a word without quotes was given.'],
    [`url: ["${CANARY}"]`, 'input.url', 'input.url: must be a string; a list was given.'],
    [`url: "x", method: ${CANARY}`, 'input.method', 'input.method: must be one of PATCH, POST, PUT.'],
    [`url: "x", timeoutSeconds: "${CANARY}"`, 'input.timeoutSeconds', 'input.timeoutSeconds: must be a whole number'],
    [
      `url: "x", eventTypes: ["a", 5]`,
      'input.eventTypes.1',
      'input.eventTypes.1: must be a string; a number was given.',
    ],
    [
      `url: "x", retry: "${CANARY}"`,
      'input.retry',
      'input.retry: must be an object, a RetryPolicyInput; a string was given.',
    ],
    [
      `url: "x", nonsense: "${CANARY}"`,
      'input.nonsense',
      'Field "nonsense" is not defined by type "EndpointCreateInput"',
    ],
    [
      `description: "${CANARY}"`,
      'input',
      'Field "EndpointCreateInput.url" of required type "String!" was not provided.',
    ],
  ] as const) {
    const { errors } = await send(`mutation { endpointCreate(input: { ${input} }) { secret } }`, {}, key)
    expect(errors?.[0]?.extensions, input).toEqual({ code: 'INVALID_INPUT', path: path.split('.') })
    expect(errors?.[0]?.message, input).toContain(message)
    expect(JSON.stringify(errors), input).not.toContain('canary')
  }
  const { errors } = await send(
    `mutation { eventPublish(input: { type: "a", payload: { token: ${CANARY} } }) { duplicate } }`,
  )
  expect(errors?.[0]?.extensions).toEqual({ code: 'INVALID_INPUT', path: ['input', 'payload', 'token'] })
  expect(JSON.stringify(errors)).not.toContain('canary')
})

test('every list of the API has a size that its cost is counted with', () => {
  const lists = Object.values(schema.getTypeMap())
    .filter((type) => isObjectType(type) && !type.name.startsWith('__'))
    .flatMap((type) => Object.values(isObjectType(type) ? type.getFields() : {}))
    .filter(({ type }) => isListType(isNonNullType(type) ? type.ofType : type))
    .map(({ name }) => name)
  expect(lists).toContain('userErrors')
  const known = ['nodes', 'edges', ...Object.keys(LIST_SIZES), ...Object.keys(WEIGHTS)]
  expect([...new Set(lists)].filter((name) => !known.includes(name))).toEqual([])
})

test.each`
  document                                                                                                           | fields
  ${'{ events(first: 100) { nodes { payload a: payload b: payload } } }'}                                            | ${60_002}
  ${'{ attempts(first: 100) { nodes { request { body a: body } response { body } } } }'}                             | ${60_202}
  ${`mutation ($e: [EventPublishInput!]!) { ${times(6, 'eventPublishBatch(events: $e) { userErrors { code } }')} }`} | ${60_036}
  ${`{ endpoints(first: 100) { nodes { ${times(30, 'clientCertificate { authorities }')} } } }`}                     | ${66_002}
`('$document costs $fields', async ({ document, fields }) => {
  const { errors } = await (await startApi()).send(document, { e: [] })
  expect(errors?.[0]?.message).toContain(`The operation may answer ${fields} fields; at most 50000 are allowed.`)
})

test.each`
  document
  ${'{ events(first: 50) { nodes { id type payloadJson } } }'}
  ${'{ attempts { nodes { id request { url headers { name value } body } response { status headers { name value } body } } } }'}
  ${`mutation ($e: [EventPublishInput!]!) { ${times(4, 'eventPublishBatch(events: $e) { userErrors { code } }')} }`}
  ${'{ events(filter: { types: ["a"] }) { nodes { payload deliveries(first: 5) { nodes { id } } } } }'}
`('$document is within the limits', async ({ document }) => {
  const { errors } = await (await startApi()).send(document, { e: [{ type: 'a', payload: 1 }] })
  expect(errors).toBe(undefined)
})
