import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GraphQLError } from 'graphql'
import { expect, test } from 'vitest'
import { ERROR_CODES, isErrorCode } from '../../schema/error-codes.ts'
import { presentError } from '../../src/graphql/errors.ts'
import { silentLog } from '../../src/log.ts'
import { Mistake, mistakesIn, moved, readAll } from '../../src/mistake.ts'
import { startApi } from './api.ts'

const ROOMS = ['src/graphql', 'src/http']
const top = fileURLToPath(new URL('../..', import.meta.url))

test('no code outside the documented enum stands anywhere in the API', () => {
  const found = ROOMS.flatMap((room) =>
    readdirSync(join(top, room), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => codesIn(readFileSync(join(top, room, name), 'utf8')).map((code) => ({ name, code }))),
  )
  expect(found.length).toBeGreaterThan(20)
  // That the address is not to be had is told to who starts the server.
  expect(found.filter(({ code }) => !isErrorCode(code) && code !== 'CANNOT_LISTEN')).toEqual([])
})

test('and would be noticed', () => {
  expect(codesIn(`refusal('NEW_ONE', 'x'); ({ code: 'OTHER' }); code = 'THIRD' satisfies ErrorCode`)).toEqual([
    'NEW_ONE',
    'OTHER',
    'THIRD',
  ])
})

/** Where codes are given: to `refusal` and its like, as a property, as a constant. */
function codesIn(text: string): string[] {
  const given = /(?:\b(?:refusal|withCode|extensions)\(\s*|\bcode(?:: ErrorCode)?\s*[:=]\s*)'([A-Z][A-Z_]+)'/g
  return [...text.matchAll(given)].map(([, code]) => String(code))
}

test('whatever is thrown leaves with a code of the enum', () => {
  const presentation = {
    requestId: 'r',
    log: silentLog,
    unavailable: { failed() {}, over() {} },
    hideSuggestions: false,
  }
  const codeOf = (error: unknown) => presentError(error, presentation).extensions.code
  expect(codeOf(new GraphQLError('x'))).toBe('BAD_REQUEST')
  expect(codeOf(new GraphQLError('x', { extensions: { code: 'INTERNAL_SERVER_ERROR' } }))).toBe('BAD_REQUEST')
  expect(codeOf(new GraphQLError('x', { originalError: new GraphQLError('y') }))).toBe('BAD_REQUEST')
  expect(codeOf(new Mistake('NOT_FOUND', ['id'], 'x'))).toBe('NOT_FOUND')
  expect(codeOf(Object.assign(new Error('x'), { code: 'FEED_OVERFLOW', cursor: 'c' }))).toBe('FEED_OVERFLOW')
  expect(codeOf(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))).toBe('UNAVAILABLE')
  expect(codeOf(Object.assign(new Error('x'), { code: 'SOMETHING' }))).toBe('INTERNAL')
  expect(codeOf('x')).toBe('INTERNAL')
})

test('the API describes every code', async () => {
  const { ask } = await startApi()
  const { __type } = await ask<{ __type: { enumValues: { name: string; description: string }[] } }>(
    '{ __type(name: "ErrorCode") { enumValues { name description } } }',
  )
  const described = Object.fromEntries(__type.enumValues.map(({ name, description }) => [name, description]))
  expect(described).toEqual(ERROR_CODES)
})

test('the mistakes of several parts of an input are told together, and other faults are not held back', () => {
  const wrong = (name: string) => () => {
    throw new Mistake('INVALID_INPUT', ['input', name], `${name} is wrong`)
  }
  const thrown = (work: () => unknown) => {
    try {
      work()
    } catch (error) {
      return error as Mistake
    }
    throw new Error('nothing was thrown')
  }
  expect(readAll({ a: () => 1, b: () => 'x' })).toEqual({ a: 1, b: 'x' })
  const one = thrown(() => readAll({ a: () => 1, b: wrong('b') }))
  expect(mistakesIn(one).map(({ path }) => path)).toEqual([['input', 'b']])
  const both = thrown(() => readAll({ a: wrong('a'), b: () => readAll({ c: wrong('c'), d: wrong('d') }) }))
  expect(both).toBeInstanceOf(Mistake)
  expect(both.path).toEqual(['input', 'a'])
  expect(mistakesIn(both).map(({ message }) => message)).toEqual(['a is wrong', 'c is wrong', 'd is wrong'])
  const elsewhere = moved(both, (path) => ['events', '3', ...path.slice(1)])
  expect(mistakesIn(elsewhere).map(({ path }) => path.join('.'))).toEqual(['events.3.a', 'events.3.c', 'events.3.d'])
  const fault = () => {
    throw new Error('ours')
  }
  expect(thrown(() => readAll({ a: wrong('a'), b: fault })).message).toBe('ours')
})

test('everything that is wrong with an event is told at once, in a batch as well', async () => {
  const { ask } = await startApi()
  const event = { type: 'a b', idempotencyKey: '', payload: 5, payloadJson: '5' }
  const paths = (userErrors: { path: string[] }[]) => userErrors.map(({ path }) => path.join('.'))
  type Result = { userErrors: { path: string[] }[] }
  const { eventPublish } = await ask<{ eventPublish: Result }>(
    'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { userErrors { path } } }',
    { input: event },
  )
  expect(paths(eventPublish.userErrors)).toEqual(['input.type', 'input.idempotencyKey', 'input.payload'])
  const { eventPublishBatch } = await ask<{ eventPublishBatch: { results: Result[] } }>(
    'mutation ($events: [EventPublishInput!]!) { eventPublishBatch(events: $events) { results { userErrors { path } } } }',
    { events: [{ type: 'a', payload: 1 }, event] },
  )
  expect(eventPublishBatch.results.map(({ userErrors }) => paths(userErrors))).toEqual([
    [],
    ['events.1.type', 'events.1.idempotencyKey', 'events.1.payload'],
  ])
})
