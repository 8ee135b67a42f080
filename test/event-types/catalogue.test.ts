import { describe, expect, onTestFinished, test } from 'vitest'
import { newId } from '../../schema/ids.ts'
import { createCatalogue } from '../../src/event-types/catalogue.ts'
import { silentLog } from '../../src/log.ts'
import { openClient } from '../../src/postgres/client.ts'
import { createWake } from '../../src/queue/wake.ts'
import { startApi } from '../graphql/api.ts'
import { movableClock } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

const PUBLISH = `mutation ($input: EventPublishInput!) { eventPublish(input: $input) {
  event { id version schemaFaults { path rule } } duplicate warnings { code message } userErrors { code path message }
} }`
const BATCH = `mutation ($events: [EventPublishInput!]!) { eventPublishBatch(events: $events) {
  results { event { id } duplicate warnings { code } userErrors { code path } }
} }`
const SAVE = `mutation ($input: EventTypeSaveInput!, $allowBreaking: Boolean) { eventTypeSave(input: $input, allowBreaking: $allowBreaking) {
  eventType { id } breakingChanges { pointer rule breaks } userErrors { code path message }
} }`
const ARCHIVE = 'mutation ($id: ID!) { eventTypeArchive(id: $id) { eventType { archivedAt } userErrors { code } } }'

const AMOUNT = { type: 'object', properties: { amount: { type: 'integer' } }, required: ['amount'] }
const version = (schema: object = AMOUNT, example: unknown = { amount: 1 }, name = '1') => ({
  version: name,
  schema,
  example,
})

// biome-ignore lint/suspicious/noExplicitAny: whatever is answered
type Any = any

async function world(options: Parameters<typeof startApi>[0] = {}) {
  const api = await startApi(options)
  return {
    ...api,
    save: async (input: object, allowBreaking = false) =>
      (await api.ask<Any>(SAVE, { input: { name: 'invoice.paid', ...input }, allowBreaking })).eventTypeSave,
    archive: async (id: string) => (await api.ask<Any>(ARCHIVE, { id })).eventTypeArchive,
    tell: async (input: object) =>
      (await api.ask<Any>(PUBLISH, { input: { type: 'invoice.paid', ...input } })).eventPublish,
    tellAll: async (events: object[]) => (await api.ask<Any>(BATCH, { events })).eventPublishBatch.results,
    count: async () => (await api.db.sql`select count(*)::int as events from postrider.events`)[0]?.events,
  }
}

describe('what is published', () => {
  const GOOD = { amount: 4200 }
  const BAD = { amount: 'much' }

  test.each`
    validation  | payload | accepted | faults                   | warnings
    ${'OFF'}    | ${BAD}  | ${true}  | ${[]}                    | ${[]}
    ${'WARN'}   | ${GOOD} | ${true}  | ${[]}                    | ${[]}
    ${'WARN'}   | ${BAD}  | ${true}  | ${[['/amount', 'type']]} | ${['SCHEMA_VIOLATION']}
    ${'REJECT'} | ${GOOD} | ${true}  | ${[]}                    | ${[]}
    ${'REJECT'} | ${BAD}  | ${false} | ${null}                  | ${[]}
  `(
    'with $validation and $payload is accepted: $accepted',
    async ({ validation, payload, accepted, faults, warnings }) => {
      const { save, tell, count } = await world()
      await save({ validation, version: version() })
      const { event, warnings: told, userErrors } = await tell({ payload })
      expect(told.map(({ code }: Any) => code)).toEqual(warnings)
      expect(event?.schemaFaults.map(({ path, rule }: Any) => [path, rule]) ?? null).toEqual(faults)
      expect(await count()).toBe(accepted ? 1 : 0)
      if (accepted) expect(userErrors).toEqual([])
      else {
        const message = '/amount must be integer (rule "type" of invoice.paid, version "1").'
        expect(userErrors).toEqual([{ code: 'SCHEMA_VIOLATION', path: ['input', 'payload', 'amount'], message }])
      }
    },
  )

  test.each`
    state           | refuses  | code                       | message
    ${'unknown'}    | ${false} | ${'UNKNOWN_EVENT_TYPE'}    | ${'The event type "invoice.payed" is not in the catalogue. Did you mean "invoice.paid"?'}
    ${'unknown'}    | ${true}  | ${'UNKNOWN_EVENT_TYPE'}    | ${'The event type "invoice.payed" is not in the catalogue. Did you mean "invoice.paid"?'}
    ${'archived'}   | ${false} | ${'UNKNOWN_EVENT_TYPE'}    | ${'The event type "invoice.paid" is archived. Did you mean "invoice.paids"?'}
    ${'archived'}   | ${true}  | ${'UNKNOWN_EVENT_TYPE'}    | ${'The event type "invoice.paid" is archived. Did you mean "invoice.paids"?'}
    ${'deprecated'} | ${false} | ${'DEPRECATED_EVENT_TYPE'} | ${'The event type "invoice.paid" is deprecated: use "invoice.settled".'}
    ${'deprecated'} | ${true}  | ${'DEPRECATED_EVENT_TYPE'} | ${'The event type "invoice.paid" is deprecated: use "invoice.settled".'}
  `('of a type that is $state, where unknown ones are refused: $refuses', async ({ state, refuses, code, message }) => {
    const { save, archive, tell, count } = await world({ refusesUnknown: refuses })
    const { eventType } = await save({ validation: 'REJECT', version: version() })
    if (state === 'archived') {
      await save({ name: 'invoice.paids' })
      await archive(eventType.id)
    }
    if (state === 'deprecated') await save({ deprecated: true, replacement: 'invoice.settled' })
    const { warnings, userErrors } = await tell({
      type: state === 'unknown' ? 'invoice.payed' : 'invoice.paid',
      payload: GOOD,
    })
    const isRefused = refuses && state !== 'deprecated'
    expect(warnings).toEqual(isRefused ? [] : [{ code, message }])
    expect(userErrors).toEqual(isRefused ? [{ code, message, path: ['input', 'type'] }] : [])
    expect(await count()).toBe(isRefused ? 0 : 1)
  })

  test('to an empty catalogue is neither judged nor warned of', async () => {
    const { tell } = await world()
    expect(await tell({ payload: BAD })).toMatchObject({ warnings: [], userErrors: [] })
  })

  test('of a type that is saved again after it was archived is known again', async () => {
    const { save, archive, tell } = await world({ refusesUnknown: true })
    await archive((await save({})).eventType.id)
    expect((await tell({ payload: GOOD })).userErrors).toMatchObject([{ code: 'UNKNOWN_EVENT_TYPE' }])
    await save({})
    expect((await tell({ payload: GOOD })).userErrors).toEqual([])
  })

  test('is judged by its own version, and without one by the newest that was saved; what it says it keeps', async () => {
    const { save, tell } = await world()
    await save({ validation: 'REJECT', version: version() })
    const text = { type: 'object', properties: { amount: { type: 'string' } }, required: ['amount'] }
    await save({ version: version(text, BAD, '2') }, true)
    expect(await tell({ payload: BAD })).toMatchObject({ event: { version: null }, userErrors: [] })
    expect((await tell({ payload: GOOD })).userErrors).toMatchObject([{ code: 'SCHEMA_VIOLATION' }])
    expect(await tell({ payload: GOOD, version: '1' })).toMatchObject({ event: { version: '1' }, userErrors: [] })
    expect((await tell({ payload: GOOD, version: '3' })).userErrors).toMatchObject([
      {
        code: 'UNKNOWN_EVENT_TYPE',
        path: ['input', 'version'],
        message: '"invoice.paid" has no version "3". Its newest is "2".',
      },
    ])
    await save({ validation: 'WARN' })
    expect(await tell({ payload: GOOD, version: '3' })).toMatchObject({
      event: { version: '3' },
      warnings: [{ code: 'UNKNOWN_VERSION' }],
    })
  })

  test('as payloadJson is refused at payloadJson, with each fault up to five', async () => {
    const { save, tell } = await world()
    await save({ validation: 'REJECT', version: version({ type: 'array', items: { type: 'string' } }, []) })
    const { userErrors } = await tell({ payloadJson: '[1,2,3,4,5,6,7]' })
    expect(userErrors).toHaveLength(5)
    expect(userErrors[1]).toMatchObject({
      path: ['input', 'payloadJson'],
      message: expect.stringContaining('/1 must be string'),
    })
  })

  test('in a batch is refused for itself', async () => {
    const { save, tellAll, count } = await world()
    await save({ validation: 'REJECT', version: version() })
    const events = [GOOD, BAD, GOOD].map((payload) => ({ type: 'invoice.paid', payload }))
    const results = await tellAll([...events, { type: 'something.else', payload: BAD }])
    expect(results.map(({ userErrors }: Any) => userErrors)).toEqual([
      [],
      [{ code: 'SCHEMA_VIOLATION', path: ['events', '1', 'payload', 'amount'] }],
      [],
      [],
    ])
    expect(results[3].warnings).toEqual([{ code: 'UNKNOWN_EVENT_TYPE' }])
    expect(await count()).toBe(3)
  })

  test('again with its idempotency key is the first event, although it would be refused by now', async () => {
    const { save, tell, tellAll, count } = await world()
    const input = { payload: BAD, idempotencyKey: 'k' }
    const first = await tell(input)
    await save({ validation: 'REJECT', version: version() })
    expect(await tell(input)).toMatchObject({ event: { id: first.event.id }, duplicate: true, userErrors: [] })
    expect(await tellAll([{ type: 'invoice.paid', ...input }])).toMatchObject([
      { duplicate: true, event: { id: first.event.id } },
    ])
    expect((await tell({ ...input, payload: { amount: null } })).userErrors).toMatchObject([
      { code: 'SCHEMA_VIOLATION' },
    ])
    // A refused event has claimed nothing: mended, it goes with the same key.
    const other = { payload: BAD, idempotencyKey: 'other' }
    expect((await tell(other)).userErrors).toMatchObject([{ code: 'SCHEMA_VIOLATION' }])
    expect((await tell({ ...other, payload: GOOD })).userErrors).toEqual([])
    expect(await count()).toBe(2)
  })

  test('again when its idempotency key has expired is a new event, and refused as one', async () => {
    const clock = movableClock()
    const { save, tell } = await world({ clock })
    const input = { payload: BAD, idempotencyKey: 'k' }
    await tell(input)
    await save({ validation: 'REJECT', version: version() })
    expect((await tell(input)).duplicate).toBe(true)
    clock.forward(25 * 3_600_000)
    expect((await tell(input)).userErrors).toMatchObject([{ code: 'SCHEMA_VIOLATION' }])
  })

  test('of an unknown type is told the name that was meant as soon as the catalogue has it', async () => {
    const { save, tell } = await world()
    await save({ name: 'something.else' })
    const told = async () => (await tell({ type: 'invoice.payed', payload: GOOD })).warnings[0].message
    expect(await told()).toBe('The event type "invoice.payed" is not in the catalogue.')
    await save({})
    await eventually(async () => expect(await told()).toContain('Did you mean "invoice.paid"?'))
  })
})

describe('the catalogue of a process', () => {
  /** A second process on the same database, and how many statements its catalogue has run. */
  async function another(api: Awaited<ReturnType<typeof world>>, { hears = true } = {}) {
    const wake = await createWake(await openClient(api.address, { max: 2, name: 'another', log: silentLog }), silentLog)
    onTestFinished(() => wake.close())
    let statements = 0
    const sql = new Proxy(api.db.sql, {
      apply(target, self, args) {
        // What is nested into a statement is none of its own.
        if (Array.isArray(args[0]) && 'raw' in args[0]) statements++
        return Reflect.apply(target, self, args)
      },
    })
    const catalogue = createCatalogue({ sql, wake: hears ? wake : { on: () => () => {} }, refusesUnknown: false })
    onTestFinished(() => catalogue.close())
    const judge = async (payload: unknown) =>
      (await catalogue.judge([{ type: 'invoice.paid', version: null, payload: JSON.stringify(payload) }]))[0]
    return { judge, statements: () => statements }
  }

  test('takes no statement for an event, and none at all while nothing is published', async () => {
    const api = await world()
    await api.save({ validation: 'REJECT', version: version() })
    const { judge, statements } = await another(api, { hears: false })
    expect(statements()).toBe(0)
    await judge({ amount: 1 })
    // What changed, what it is, and the schema.
    expect(statements()).toBe(3)
    const started = performance.now()
    let judged = 0
    for (; performance.now() - started < 900; judged++) await judge({ amount: 1 })
    expect(judged).toBeGreaterThan(100)
    expect(statements()).toBeLessThanOrEqual(4)
  })

  test.each([
    ['at once where it is told of it', true],
    ['within a second where the word was lost', false],
  ])('follows what another one changes: %s', async (_, hears) => {
    const api = await world()
    await api.save({ validation: 'REJECT', version: version() })
    const { judge } = await another(api, { hears })
    expect((await judge({ amount: 1 }))?.refusal).toBeNull()
    const text = { type: 'object', properties: { amount: { type: 'string' } } }
    const savedAt = performance.now()
    await api.save({ version: version(text, { amount: 'x' }) }, true)
    await eventually(async () => expect((await judge({ amount: 1 }))?.refusal).not.toBeNull())
    expect(performance.now() - savedAt).toBeLessThan(hears ? 900 : 2_500)
  })
  test('sees what was committed half a minute after the moment that it bears, and after others', async () => {
    const api = await world()
    await api.save({ name: 'something.else' })
    const { judge } = await another(api)
    expect((await judge(1))?.warnings).toMatchObject([{ code: 'UNKNOWN_EVENT_TYPE' }])
    await api.db.sql`
      insert into postrider.event_types (id, name, created_at, updated_at)
      values (${newId(new Date())}, 'invoice.paid', now() - interval '30 seconds', now() - interval '30 seconds')`
    api.wake.signal('catalogue')
    await eventually(async () => expect((await judge(1))?.warnings).toEqual([]))
  })
})
