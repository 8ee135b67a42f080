import { describe, expect, test } from 'vitest'
import { type BreakingChange, breakingChanges } from '../../src/event-types/compatibility.ts'
import type { Schema } from '../../src/event-types/schema-walk.ts'

/** What changed at a field of an object, in short: `RECEIVERS type /properties/a`. */
const told = (changes: readonly BreakingChange[]) =>
  changes.map(({ breaks, rule, pointer }) => `${breaks} ${rule} ${pointer}`.trim())

const object = (properties: Record<string, Schema>, more: Record<string, Schema | unknown> = {}): Schema => ({
  type: 'object',
  properties,
  ...more,
})
const field = (a: Schema, more: object = {}) => object({ a }, more as never)

describe('what breaks nobody', () => {
  test.each<[string, Schema, Schema]>([
    ['nothing changed', field({ type: 'string' }), field({ type: 'string' })],
    ['a new field that may be missing', field(true), object({ a: true, b: { type: 'string' } })],
    [
      'a new field where no other was allowed',
      field(true, { additionalProperties: false }),
      object({ a: true, b: true }, { additionalProperties: false }),
    ],
    ['other fields, where none were allowed', field(true, { additionalProperties: false }), field(true)],
    [
      'another description, title, default and example',
      field({ type: 'string' }),
      field({ type: 'string', title: 'A', description: 'b', default: 'c', examples: ['d'] }),
    ],
    [
      'another order of fields, types and values',
      object({ a: { type: ['string', 'null'] }, b: { enum: [1, 2] } }, { required: ['a', 'b'] }),
      object({ b: { enum: [2, 1] }, a: { type: ['null', 'string'] } }, { required: ['b', 'a'] }),
    ],
    [
      'a field moved into a definition',
      field({ type: 'string' }),
      { ...(field({ $ref: '#/$defs/a' }) as object), $defs: { a: { type: 'string' } } },
    ],
    [
      'a definition under another name',
      { $ref: '#/$defs/a', $defs: { a: field(true) } },
      { $ref: '#/$defs/b', $defs: { b: field(true) } },
    ],
    [
      'fields gathered with allOf',
      object({ a: { type: 'string' }, b: { type: 'string' } }),
      { allOf: [field({ type: 'string' }), object({ b: { type: 'string' } })] },
    ],
    ['const written as enum', field({ const: 1 }), field({ enum: [1] })],
    ['the type that its values have anyway', field({ enum: ['x'] }), field({ type: 'string', enum: ['x'] })],
    [
      'alternatives in another order',
      { anyOf: [{ type: 'string' }, { type: 'null' }] },
      { anyOf: [{ type: 'null' }, { type: 'string' }] },
    ],
    [
      'a list that is described as before',
      field({ type: 'array', items: field(true) }),
      field({ type: 'array', items: field(true) }),
    ],
    ['a tree that contains itself', field({ $ref: '#' }), field({ $ref: '#' })],
  ])('%s', (_, before, after) => {
    expect(breakingChanges(before, after)).toEqual([])
  })
})

const A = '/properties/a'

describe('what breaks somebody', () => {
  test.each<[string, Schema, Schema, string[]]>([
    ['a field was removed', field({ type: 'string' }), object({}), [`RECEIVERS properties ${A}`]],
    ['a required field was removed', field(true, { required: ['a'] }), object({}), [`RECEIVERS properties ${A}`]],
    [
      'a field was renamed',
      field(true, { required: ['a'] }),
      object({ b: true }, { required: ['b'] }),
      [`RECEIVERS properties ${A}`, 'PRODUCERS required /properties/b'],
    ],
    ['a field was made required', field(true), field(true, { required: ['a'] }), [`PRODUCERS required ${A}`]],
    ['a field is no longer required', field(true, { required: ['a'] }), field(true), [`RECEIVERS required ${A}`]],
    ['the type changed', field({ type: 'string' }), field({ type: 'integer' }), [`BOTH type ${A}`]],
    ['an integer became a number', field({ type: 'integer' }), field({ type: 'number' }), [`RECEIVERS type ${A}`]],
    ['a number became an integer', field({ type: 'number' }), field({ type: 'integer' }), [`PRODUCERS type ${A}`]],
    ['null may come', field({ type: 'string' }), field({ type: ['string', 'null'] }), [`RECEIVERS type ${A}`]],
    ['null may come no more', field({ type: ['string', 'null'] }), field({ type: 'string' }), [`PRODUCERS type ${A}`]],
    ['anything may come', field({ type: 'string' }), field(true), [`RECEIVERS type ${A}`]],
    ['what was open has a type', field(true), field({ type: 'string' }), [`PRODUCERS type ${A}`]],
    ['a value was added', field({ enum: ['x'] }), field({ enum: ['x', 'y'] }), [`RECEIVERS enum ${A}`]],
    ['a value was removed', field({ enum: ['x', 'y'] }), field({ enum: ['x'] }), [`PRODUCERS enum ${A}`]],
    [
      'a constant changed',
      field({ const: 'x' }),
      field({ const: 'y' }),
      [`RECEIVERS enum ${A}`, `PRODUCERS enum ${A}`],
    ],
    [
      'a list of values was dropped',
      field({ type: 'string', enum: ['x'] }),
      field({ type: 'string' }),
      [`RECEIVERS enum ${A}`],
    ],
    [
      'a list of values was made',
      field({ type: 'string' }),
      field({ type: 'string', enum: ['x'] }),
      [`PRODUCERS enum ${A}`],
    ],
    ['a bound was tightened', field({ maximum: 9 }), field({ maximum: 8 }), [`PRODUCERS maximum ${A}`]],
    ['a bound was loosened', field({ minLength: 2 }), field({ minLength: 1 }), [`RECEIVERS minLength ${A}`]],
    ['a bound was added', field({}), field({ maxItems: 3 }), [`PRODUCERS maxItems ${A}`]],
    ['a bound was dropped', field({ minimum: 0 }), field({}), [`RECEIVERS minimum ${A}`]],
    ['a pattern was added', field({}), field({ pattern: '^a' }), [`PRODUCERS pattern ${A}`]],
    ['a pattern was dropped', field({ pattern: '^a' }), field({}), [`RECEIVERS pattern ${A}`]],
    ['a pattern changed', field({ pattern: '^a' }), field({ pattern: '^b' }), [`BOTH pattern ${A}`]],
    ['a format changed', field({ format: 'date' }), field({ format: 'date-time' }), [`BOTH format ${A}`]],
    [
      'other fields are refused',
      object({}),
      object({}, { additionalProperties: false }),
      ['PRODUCERS additionalProperties'],
    ],
    [
      'other fields must be of a type',
      object({}),
      object({}, { additionalProperties: { type: 'string' } }),
      ['PRODUCERS additionalProperties'],
    ],
    [
      'other fields are of another type',
      object({}, { additionalProperties: { type: 'string' } }),
      object({}, { additionalProperties: { type: 'null' } }),
      ['BOTH type /additionalProperties'],
    ],
    ['items are of another type', { items: { type: 'string' } }, { items: { type: 'number' } }, ['BOTH type /items']],
    [
      'a list has a further item',
      { prefixItems: [true], items: false },
      { prefixItems: [true, true], items: false },
      ['RECEIVERS items /prefixItems/1'],
    ],
    [
      'a list has an item less',
      { prefixItems: [true, true], items: false },
      { prefixItems: [true], items: false },
      ['PRODUCERS items /prefixItems/1'],
    ],
    [
      'an alternative was added',
      { oneOf: [field(true)] },
      { oneOf: [field(true), { type: 'null' }] },
      ['RECEIVERS anyOf'],
    ],
    [
      'an alternative was removed',
      { oneOf: [field(true), { type: 'null' }] },
      { oneOf: [field(true)] },
      ['PRODUCERS anyOf'],
    ],
    [
      'an alternative changed',
      { anyOf: [field({ type: 'string' }), { type: 'null' }] },
      { anyOf: [field({ type: 'number' }), { type: 'null' }] },
      ['BOTH type /anyOf/0/properties/a'],
    ],
    [
      'what was plain has alternatives',
      field({ type: 'string' }),
      field({ anyOf: [{ type: 'string' }, { type: 'null' }] }),
      [`RECEIVERS anyOf ${A}`],
    ],
    ['something is excluded', field({}), field({ not: { const: 1 } }), [`PRODUCERS not ${A}`]],
    [
      'deep within lists and references',
      { $ref: '#/$defs/x', $defs: { x: field({ items: field({ type: 'string' }) }) } },
      field({ items: field({ type: 'null' }) }),
      [`BOTH type ${A}/items${A}`],
    ],
    ['within allOf', { allOf: [field({ type: 'string' })] }, { allOf: [field({ type: 'null' })] }, [`BOTH type ${A}`]],
    [
      'a definition that is shared, once',
      {
        ...(object({ a: { $ref: '#/$defs/m' }, b: { $ref: '#/$defs/m' } }) as object),
        $defs: { m: { type: 'string' } },
      },
      { ...(object({ a: { $ref: '#/$defs/m' }, b: { $ref: '#/$defs/m' } }) as object), $defs: { m: { type: 'null' } } },
      [`BOTH type ${A}`],
    ],
    [
      'in a tree that contains itself',
      field({ $ref: '#' }, { minProperties: 0 }),
      field({ $ref: '#' }, { minProperties: 1 }),
      ['PRODUCERS minProperties'],
    ],
    ['everything is refused', true, false, ['PRODUCERS not']],
  ])('%s', (_, before, after, expected) => {
    expect(told(breakingChanges(before, after))).toEqual(expected)
  })

  test('told in words', () => {
    const [change] = breakingChanges(field({ type: ['string', 'null'] }), field({ type: 'integer' }))
    expect(change?.message).toBe('The type changed from null or string to integer.')
  })

  test('twenty of them at most', () => {
    const many = (type: string) => object(Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, { type }])))
    expect(breakingChanges(many('string'), many('number'))).toHaveLength(20)
  })

  test('schemas that branch without end are given up in time', () => {
    const level = (i: number) => [`a${i}`, { allOf: [{ $ref: `#/$defs/a${i + 1}` }, { $ref: `#/$defs/a${i + 1}` }] }]
    const schema = (last: object): Schema => ({
      $ref: '#/$defs/a0',
      $defs: { ...Object.fromEntries(Array.from({ length: 30 }, (_, i) => level(i))), a30: last },
    })
    const before = performance.now()
    expect(told(breakingChanges(schema({ type: 'string' }), schema({ type: 'null' })))).toEqual(['BOTH $ref'])
    expect(performance.now() - before).toBeLessThan(2_000)
  })
})
