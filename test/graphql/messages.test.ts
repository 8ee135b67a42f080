import { describe, expect, test, vi } from 'vitest'
import { type EventId, newId, publicId } from '../../schema/ids.ts'
import { silentLog } from '../../src/log.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'
import { startApi } from './api.ts'

const START = 'mutation ($input: ReplayInput!) { replayStart(input: $input) { userErrors { code message path } } }'

describe('a message says what was given, and what to do:', () => {
  test('a moment without its zone, with the place in the variable or the document', async () => {
    const { send } = await startApi()
    const since = '2026-11-20'
    const { errors } = await send(START, { input: { select: { deliveries: { since } } } })
    expect(errors).toMatchObject([
      {
        message: expect.stringContaining('a date, a time and a zone (Z or +01:00)'),
        extensions: { path: ['input', 'select', 'deliveries', 'since'] },
      },
    ])
    const literal = await send(`{ events(filter: { since: "${since}" }) { nodes { id } } }`)
    expect(literal.errors).toMatchObject([
      { message: expect.stringContaining('a zone (Z or +01:00)'), locations: [{ line: 1, column: 27 }] },
    ])
  })

  test('a time range that holds nothing', async () => {
    const { send } = await startApi()
    const { errors } = await send(
      '{ events(filter: { since: "2026-03-02T00:00:00Z", until: "2026-03-01T00:00:00Z" }) { nodes { id } } }',
    )
    expect(errors?.[0]?.message).toBe(
      'until, 2026-03-01T00:00:00.000Z, must be later than since, 2026-03-02T00:00:00.000Z, or nothing can be found.',
    )
  })

  test('an id that nothing has, and one that is none', async () => {
    const { ask, send } = await startApi()
    for (const [prefix, mutation] of [
      ['ep', 'endpointPause'],
      ['ep', 'endpointTest'],
      ['ep', 'endpointDelete'],
      ['dlv', 'deliveryRetry'],
    ] as const) {
      const refusal = async (id: string) =>
        (await ask(`mutation ($id: ID!) { ${mutation}(id: $id) { userErrors { code message path } } }`, { id }))[
          mutation
        ]
      const id = publicId(prefix, newId(new Date()))
      expect(await refusal(id)).toEqual({
        userErrors: [{ code: 'NOT_FOUND', path: ['id'], message: expect.stringContaining(id) }],
      })
      expect(await refusal('x')).toEqual({
        userErrors: [{ code: 'INVALID_INPUT', path: ['id'], message: expect.stringContaining(`${prefix}_`) }],
      })
    }
    const { errors } = await send('{ deliveries(filter: { endpointIds: ["x"] }) { nodes { id } } }')
    expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT' } }])
  })

  test('all tenants, where one is meant', async () => {
    const { ask } = await startApi()
    const { replayStart } = await ask(START, { input: { tenant: '*', select: { deliveries: {} } } })
    expect(replayStart).toEqual({
      userErrors: [{ code: 'NOT_FOUND', path: ['input', 'tenant'], message: expect.stringContaining('of one tenant') }],
    })
  })

  test('a schedule that takes too long', async () => {
    const { ask } = await startApi()
    const { endpointCreate } = await ask(
      'mutation { endpointCreate(input: { url: "http://127.0.0.1:9000", retry: { fixed: { intervalSeconds: 604800, attempts: 4 } } }) { userErrors { message } } }',
    )
    expect(endpointCreate?.userErrors).toEqual([
      { message: expect.stringContaining('(POSTRIDER_BODY_RETENTION_DAYS - 7) / 1.2') },
    ])
  })
})

test('what was asked for beside the schedule shows until it is done, also at a delivery that is settled', async () => {
  const { ask, addEndpoint, publish, deliveries } = await startApi({ worker: true })
  const receiver = await startReceiver()
  const endpoint = publicId('ep', await addEndpoint(receiver.url))
  await publish(2)
  const settled = async () => {
    const rows = await deliveries()
    expect(rows.map(({ state }) => state)).toEqual(['DELIVERED', 'DELIVERED'])
    return rows.map(({ id }) => publicId('dlv', id))
  }
  const [one] = await eventually(settled)
  await ask('mutation ($id: ID!) { endpointPause(id: $id) { userErrors { code } } }', { id: endpoint })
  const RETRY = 'mutation ($id: ID!) { deliveryRetry(id: $id) { delivery { state waitingFor requestedTrigger } } }'
  expect(await ask(RETRY, { id: one })).toEqual({
    deliveryRetry: { delivery: { state: 'DELIVERED', waitingFor: 'PAUSED', requestedTrigger: 'MANUAL' } },
  })
  await ask(START, { input: { select: { deliveries: {} } } })
  const triggers = async () => {
    const { deliveries } = await ask<{ deliveries: { nodes: { id: string; requestedTrigger: string }[] } }>(
      '{ deliveries { nodes { id requestedTrigger } } }',
    )
    return new Set(deliveries.nodes.map(({ requestedTrigger }) => requestedTrigger))
  }
  await eventually(async () => expect(await triggers()).toEqual(new Set(['MANUAL', 'REPLAY'])), 10_000)
  await ask('mutation ($id: ID!) { endpointResume(id: $id) { userErrors { code } } }', { id: endpoint })
  await receiver.waitForRequests(4, 10_000)
  await eventually(async () => expect(await triggers()).toEqual(new Set([null])))
})

test('the log names every event that was expunged', async () => {
  const log = { ...silentLog, info: vi.fn() }
  const { ask, publish } = await startApi({ log })
  const [event] = await publish(1)
  const id = publicId('evt', event as EventId)
  await ask('mutation ($id: ID!) { eventExpunge(id: $id) { userErrors { code } } }', { id })
  expect(log.info.mock.calls).toContainEqual([{ event: id }, 'Expunged an event'])
})
