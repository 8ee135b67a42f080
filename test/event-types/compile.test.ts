import { describe, expect, test } from 'vitest'
import { compileSchema, tryToCompile } from '../../src/event-types/compile.ts'

const faultsOf = (schema: unknown, payload: unknown) => compileSchema(JSON.stringify(schema))(payload)
function problemsOf(schema: unknown): string[] {
  const result = tryToCompile(JSON.stringify(schema))
  return typeof result === 'function' ? [] : result.map(({ pointer, message }) => `${pointer} ${message}`.trim())
}
const many = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index))
const named = <T>(count: number, make: (index: number) => [string, T]) => Object.fromEntries(many(count, make))

describe('a payload', () => {
  const schema = {
    type: 'object',
    required: ['id', 'lines'],
    properties: {
      id: { type: 'string', format: 'uuid' },
      lines: { type: 'array', items: { $ref: '#/$defs/line' }, uniqueItems: true },
    },
    $defs: {
      line: {
        type: 'object',
        properties: { 'a/b': { type: 'integer', minimum: 0 }, kind: { enum: ['x', 'y'] } },
        unevaluatedProperties: false,
      },
    },
  }
  const good = { id: '01930b8e-7c1f-7000-8000-000000000000', lines: [{ 'a/b': 1 }, { 'a/b': 2, kind: 'x' }] }

  test('that satisfies its schema has no faults', () => {
    expect(faultsOf(schema, good)).toEqual([])
  })

  test.each([
    ['what is missing', { id: good.id }, [['', 'required']]],
    [
      'each place, as a JSON Pointer',
      { ...good, lines: [{ 'a/b': 'x' }, { 'a/b': -1 }] },
      [
        ['/lines/0/a~1b', 'type'],
        ['/lines/1/a~1b', 'minimum'],
      ],
    ],
    ['a format', { ...good, id: 'x' }, [['/id', 'format']]],
    ['what is too many', { ...good, lines: [{ c: 1 }] }, [['/lines/0', 'unevaluatedProperties']]],
    [
      'what is there twice, in whatever order',
      {
        ...good,
        lines: [
          { 'a/b': 1, kind: 'x' },
          { kind: 'x', 'a/b': 1 },
        ],
      },
      [['/lines', 'uniqueItems']],
    ],
    ['another type', 7, [['', 'type']]],
  ])('that does not is told of %s', (_, payload, expected) => {
    expect(faultsOf(schema, payload).map(({ path, rule }) => [path, rule])).toEqual(expected)
  })

  test('is told of ten faults at most, and of long names not in full', () => {
    expect(
      faultsOf(
        { items: { type: 'string' } },
        many(50, () => 1),
      ),
    ).toHaveLength(10)
    const [fault] = faultsOf({ additionalProperties: { type: 'string' } }, { ['x\0'.repeat(5_000)]: 1 })
    expect(fault?.path).toHaveLength(300)
    expect(fault?.path).not.toContain('\0')
  })

  test('is told which values are allowed', () => {
    expect(faultsOf({ enum: ['a', 'b'] }, 'c')[0]?.message).toBe(
      'must be equal to one of the allowed values: ["a","b"]',
    )
  })

  test('is looked at for its own members only', () => {
    expect(faultsOf({ required: ['toString', '__proto__'] }, {}).map(({ rule }) => rule)).toEqual([
      'required',
      'required',
    ])
    expect(faultsOf({ required: ['__proto__'] }, JSON.parse('{"__proto__":1}'))).toEqual([])
  })

  test.each([
    ['^[a-z]+$', 'abc', 'ABC'],
    ['\\u0041', 'xAx', 'xax'],
    ['^\\u{1F600}$', '😀', 'u'],
    ['^\\\\u0041$', '\\u0041', 'A'],
    ['^\\d{3}$', '123', '1234'],
  ])('is held against the pattern %s', (pattern, matching, other) => {
    expect([faultsOf({ pattern }, matching), faultsOf({ pattern }, other)].map((faults) => faults.length)).toEqual([
      0, 1,
    ])
  })
})

test('each of several patterns is held against its own place', () => {
  const schema = { properties: { a: { pattern: '^a$' }, b: { pattern: '^b$' } }, patternProperties: { '^c': false } }
  expect(faultsOf(schema, { a: 'a', b: 'b' })).toEqual([])
  expect(faultsOf(schema, { a: 'b', b: 'a', c: 1 }).map(({ path }) => path)).toEqual(['/a', '/b', '/c'])
})

describe('a schema cannot be used', () => {
  test.each<[string, unknown, string]>([
    ['of a type that there is not', { type: 'text' }, '/type'],
    [
      'with a reference to elsewhere',
      { $ref: 'https://example.com/a' },
      '/$ref $ref "https://example.com/a" leads out of the schema',
    ],
    [
      'with a reference to nothing',
      { items: { $ref: '#/$defs/a' } },
      '/items/$ref $ref "#/$defs/a" leads to no schema',
    ],
    ['with a reference into a value', { enum: [{}], allOf: [{ $ref: '#/enum/0' }] }, '/allOf/0/$ref'],
    ['with $data', { maximum: { $data: '/a' } }, '/maximum must be number'],
    ['with another dialect', { $schema: 'http://json-schema.org/draft-07/schema#' }, '/$schema'],
    ['with an id further down', { items: { $id: 'a' } }, '/items/$id'],
    ['with dynamic references', { $dynamicRef: '#a' }, '/$dynamicRef'],
    ['with look-around in a pattern', { pattern: '(?=a)b' }, '/pattern'],
    ['with back references', { patternProperties: { '(a)\\1': true } }, '/patternProperties'],
    ['with a pattern that repeats too often', { pattern: 'a{1001}' }, '/pattern'],
    ['with too large a pattern', { pattern: '(ab|cd|ef|gh){999}' }, '/pattern'],
    ['with too many patterns', { allOf: many(200, (i) => ({ pattern: `a{${i + 100}}` })) }, '/allOf'],
    [
      'that is judged by itself without end',
      { $defs: { a: { not: { $ref: '#/$defs/a' } } }, $ref: '#/$defs/a' },
      'leads back to itself',
    ],
    [
      'of more than a thousand schemas',
      { allOf: many(1_001, () => ({ type: 'string' })) },
      'it is made of 1002 schemas; at most 1000',
    ],
    [
      'with a chain of references beyond the stack',
      { $ref: '#/$defs/a0', $defs: named(900, (i) => [`a${i}`, i === 899 ? true : { $ref: `#/$defs/a${i + 1}` }]) },
      'references nest too deeply',
    ],
  ])('%s', (_, schema, expected) => {
    expect(problemsOf(schema).join()).toContain(expected)
  })
})

describe('a schema that makes judging expensive is stopped in time', () => {
  const items = (count: number, item: unknown) => many(count, () => item)
  const doubling = named(40, (i): [string, object] => {
    const next = { $ref: `#/$defs/a${i + 1}` }
    return [`a${i}`, i === 39 ? { type: 'integer' } : { allOf: [next, next] }]
  })
  const nested = many(62, () => 0).reduce<object>((inner) => ({ c: inner }), {})
  const SLOW: [string, object, unknown][] = [
    [
      'a thousand branches for each of 131,000 items',
      { items: { allOf: many(900, () => ({ maximum: 5 })) } },
      items(131_000, 1),
    ],
    ['references that double forty times', { $ref: '#/$defs/a0', $defs: doubling }, 1],
    [
      'a tree judged twice at each of 62 levels',
      { properties: { c: { $ref: '#' } }, allOf: [{ properties: { c: { $ref: '#' } } }] },
      nested,
    ],
    ['lists that must not be equal', { uniqueItems: true }, many(87_000, (i) => [i])],
    [
      'names that are gone through again and again',
      { allOf: many(900, (i) => ({ maxProperties: 100_000 + i })) },
      named(30_000, (i) => [`k${i}`, 1]),
    ],
    [
      'patterns for each name',
      { patternProperties: named(900, (i) => [`a${i}`, true]) },
      named(20_000, (i) => [`k${i}`, 1]),
    ],
    ['a pattern that others need ages for', { pattern: '^(a|aa)+$' }, `${'a'.repeat(262_000)}!`],
    [
      'many alternatives that do not fit',
      { items: { oneOf: many(900, (i) => ({ required: [`r${i}`] })) } },
      items(60_000, {}),
    ],
    ['texts that are almost a URL', { items: { format: 'url' } }, items(60, `http://${'a:'.repeat(2_000)}`)],
  ]
  // Two cores that others use as well: what is told apart is a second and an hour.
  test.each(SLOW)('%s', { timeout: 60_000 }, (_, schema, payload) => {
    const started = performance.now()
    const judge = tryToCompile(JSON.stringify(schema))
    if (typeof judge !== 'function') throw new Error(JSON.stringify(judge))
    const faults = judge(payload)
    expect(faults.length).toBeGreaterThan(0)
    expect(performance.now() - started).toBeLessThan(15_000)
  })

  test('and says so', () => {
    expect(faultsOf({ $ref: '#/$defs/a0', $defs: doubling }, 1)).toMatchObject([{ path: '', rule: 'limit' }])
  })
})

test('a type that JSON Schema does not know is told with those that it does', () => {
  const told =
    'must be equal to one of the allowed values: ["array","boolean","integer","null","number","object","string"]'
  expect(tryToCompile('{"properties":{"a":{"type":"strng"}}}')).toEqual([
    { pointer: '/properties/a/type', message: told },
  ])
})
