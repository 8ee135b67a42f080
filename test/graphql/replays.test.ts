import { createClient } from 'graphql-ws'
import { describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import { newId, publicId } from '../../schema/ids.ts'
import { MOST_RUNNING } from '../../src/replays/start.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'
import { type Dig, startApi } from './api.ts'

const START = `mutation ($input: ReplayInput!) { replayStart(input: $input) {
  replay { id tenant { key } select state failure total redelivered skipped createdAt finishedAt } userErrors { code message path } } }`
const PREVIEW = `query ($input: ReplayInput!) { replayPreview(input: $input) {
  total toRedeliver states { state count } skips { reason count } oldestAt warnings { code message } } }`
const CANCEL = 'mutation ($id: ID!) { replayCancel(id: $id) { replay { state } userErrors { code path } } }'
const PROGRESS = 'subscription ($id: ID!) { replayProgress(id: $id) { id state total redelivered skipped } }'

/** The API with an endpoint of which so many deliveries have failed; without a worker, nothing is replayed. */
async function world({ failed = 3, worker = false }: { failed?: number; worker?: boolean } = {}) {
  const first = await startApi({ worker: true })
  const receiver = await startReceiver()
  receiver.answers(404)
  const endpoint = await first.addEndpoint(receiver.url, { retryPolicy: { delaysSeconds: [] } })
  if (failed > 0) await first.publish(failed)
  await eventually(async () => {
    expect((await first.deliveries()).filter(({ state }) => state === 'FAILED')).toHaveLength(failed)
  }, 15_000)
  if (!worker) await first.stop()
  const api = worker ? first : await startApi({ address: first.address })
  return { ...api, receiver, endpoint, publicEndpoint: publicId('ep', endpoint) }
}

const FAILED = { select: { deliveries: { states: ['FAILED'] } } }

test('a replay is previewed, started, found and cancelled', async () => {
  const { ask, publicEndpoint } = await world()
  const { replayPreview } = await ask(PREVIEW, { input: FAILED })
  expect(replayPreview).toEqual({
    total: 3,
    toRedeliver: 3,
    states: [{ state: 'FAILED', count: 3 }],
    skips: [],
    oldestAt: expect.stringMatching(/^\d{4}-.*Z$/),
    warnings: [{ code: 'UNBOUNDED', message: expect.any(String) }],
  })
  const select = {
    deliveries: { endpointIds: [publicEndpoint], since: '2026-03-01T08:00:00.000Z', eventTypes: ['invoice.*'] },
  }
  const { replayStart } = await ask(START, { input: { select } })
  expect(replayStart).toEqual({
    replay: {
      id: expect.stringMatching(/^rpl_/),
      tenant: { key: 'default' },
      select,
      state: 'RUNNING',
      failure: null,
      total: 3,
      redelivered: 0,
      skipped: 0,
      createdAt: expect.any(String),
      finishedAt: null,
    },
    userErrors: [],
  })
  const id = replayStart?.replay?.id
  expect(
    await ask(
      'query ($id: ID!) { node(id: $id) { __typename id } replay(id: $id) { state } replays(filter: { states: [RUNNING] }) { nodes { id } } }',
      { id },
    ),
  ).toEqual({ node: { __typename: 'Replay', id }, replay: { state: 'RUNNING' }, replays: { nodes: [{ id }] } })
  expect(await ask(CANCEL, { id })).toEqual({ replayCancel: { replay: { state: 'CANCELLED' }, userErrors: [] } })
  expect(await ask('{ replays(filter: { states: [RUNNING] }) { nodes { id } } }')).toEqual({ replays: { nodes: [] } })
})

describe('refused, with its place and what to do:', () => {
  test.each`
    what                     | select                                                                              | code               | path
    ${'only pending'}        | ${{ deliveries: { states: ['PENDING'] } }}                                          | ${'INVALID_INPUT'} | ${['deliveries', 'states']}
    ${'an empty list'}       | ${{ deliveries: { states: [] } }}                                                   | ${'INVALID_INPUT'} | ${['deliveries', 'states']}
    ${'no id'}               | ${{ deliveries: { endpointIds: ['ep_x'] } }}                                        | ${'INVALID_INPUT'} | ${['deliveries', 'endpointIds', '0']}
    ${'an unknown endpoint'} | ${{ deliveries: { endpointIds: [publicId('ep', newId(new Date()))] } }}             | ${'NOT_FOUND'}     | ${['deliveries', 'endpointIds', '0']}
    ${'since after until'}   | ${{ deliveries: { since: '2026-03-02T00:00:00Z', until: '2026-03-01T00:00:00Z' } }} | ${'INVALID_INPUT'} | ${['deliveries', 'until']}
    ${'missed by no id'}     | ${{ missed: { endpointId: 'ep_x', since: '2026-03-02T00:00:00Z' } }}                | ${'INVALID_INPUT'} | ${['missed', 'endpointId']}
  `('$what', async ({ select, code, path }) => {
    const { ask, send, db } = await world({ failed: 0 })
    const { replayStart } = await ask(START, { input: { select } })
    const wrong = { code, path: ['input', 'select', ...path], message: expect.stringMatching(/\w/) }
    expect(replayStart).toEqual({ replay: null, userErrors: [wrong] })
    const { errors } = await send(PREVIEW, { input: { select } })
    expect(errors).toMatchObject([{ extensions: { code, path: wrong.path } }])
    expect(await db.sql`select from postrider.replays`).toEqual([])
  })

  test('more than ten at a time', async () => {
    const { ask } = await world()
    for (let running = 0; running < MOST_RUNNING; running++) {
      const { replayStart } = await ask(START, { input: FAILED })
      expect(replayStart?.userErrors).toEqual([])
    }
    const { replayStart } = await ask(START, { input: FAILED })
    expect(replayStart).toMatchObject({
      replay: null,
      userErrors: [{ code: 'TOO_MANY_REPLAYS', path: ['input'], message: expect.stringContaining('replayCancel') }],
    })
    const { replays } = await ask('{ replays(first: 1) { nodes { id } } }')
    await ask(CANCEL, { id: ((replays as Dig).nodes as unknown as Dig[])[0]?.id })
    const again = await ask(START, { input: FAILED })
    expect(again.replayStart?.userErrors).toEqual([])
  })
})

test('another tenant sees, previews, starts and cancels nothing of it', async () => {
  const { ask, send, newKey, newTenant, publicEndpoint } = await world()
  const key = await newKey({ tenantId: await newTenant('acme') })
  const { replayStart } = await ask(START, { input: FAILED })
  const id = replayStart?.replay?.id
  expect(
    await ask('query ($id: ID!) { node(id: $id) { id } replay(id: $id) { id } replays { nodes { id } } }', { id }, key),
  ).toEqual({
    node: null,
    replay: null,
    replays: { nodes: [] },
  })
  expect(await ask(CANCEL, { id }, key)).toEqual({
    replayCancel: { replay: null, userErrors: [{ code: 'NOT_FOUND', path: ['id'] }] },
  })
  const { replayPreview } = await ask(PREVIEW, { input: FAILED }, key)
  expect(replayPreview).toMatchObject({ total: 0, toRedeliver: 0, states: [], oldestAt: null })
  const mine = await ask(START, { input: FAILED }, key)
  expect(mine.replayStart).toMatchObject({ replay: { state: 'COMPLETED', total: 0, tenant: { key: 'acme' } } })
  for (const select of [
    { deliveries: { endpointIds: [publicEndpoint] } },
    { missed: { endpointId: publicEndpoint, since: '2026-03-01T00:00:00Z' } },
  ]) {
    const refused = await ask(START, { input: { select } }, key)
    expect(refused.replayStart).toMatchObject({ replay: null, userErrors: [{ code: 'NOT_FOUND' }] })
  }
  expect((await send(START, { input: { ...FAILED, tenant: 'default' } }, key)).data).toMatchObject({
    replayStart: { userErrors: [{ code: 'NOT_FOUND', path: ['input', 'tenant'] }] },
  })
})

describe('progress', () => {
  const client = (url: string, key: string) =>
    createClient({
      url: url.replace('http', 'ws'),
      connectionParams: { authorization: `Bearer ${key}` },
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      lazyCloseTimeout: 0,
    })
  type Seen = { state: string; total: number; redelivered: number; skipped: number }

  test('comes over WebSocket: as it is, whenever it changes, and to its end', async () => {
    const { ask, url, adminKey, receiver, replayProgress } = await world({ failed: 80, worker: true })
    receiver.answers({ delayMs: 100 })
    const { replayStart } = await ask(START, { input: FAILED })
    const id = replayStart?.replay?.id as unknown as string
    const one = client(url, adminKey)
    const seen: Seen[] = []
    for await (const { data, errors } of one.iterate<{ replayProgress: Seen }>({
      query: PROGRESS,
      variables: { id },
    })) {
      expect(errors).toBeUndefined()
      if (data) seen.push(data.replayProgress)
    }
    expect(seen[0]).toMatchObject({ id, state: 'RUNNING', total: 80 })
    expect(seen.at(-1)).toEqual({ id, state: 'COMPLETED', total: 80, redelivered: 80, skipped: 0 })
    expect(seen.length).toBeGreaterThan(2)
    expect(seen.map(({ redelivered }) => redelivered)).toEqual(
      seen.map(({ redelivered }) => redelivered).toSorted((a, b) => a - b),
    )
    expect(replayProgress.followers()).toBe(0)

    // Of one that has ended: once.
    const after: unknown[] = []
    for await (const { data } of one.iterate({ query: PROGRESS, variables: { id } })) after.push(data)
    expect(after).toHaveLength(1)
    await one.dispose()
  })

  test('is given up when its client leaves, over WebSocket and SSE', async () => {
    const { ask, url, adminKey, replayProgress } = await world()
    const { replayStart } = await ask(START, { input: FAILED })
    const id = replayStart?.replay?.id
    const one = client(url, adminKey)
    const live = one.iterate({ query: PROGRESS, variables: { id } })[Symbol.asyncIterator]()
    await live.next()
    expect(replayProgress.followers()).toBe(1)
    await live.return?.()
    await eventually(() => expect(replayProgress.followers()).toBe(0))

    const two = one.iterate({ query: PROGRESS, variables: { id } })[Symbol.asyncIterator]()
    await two.next()
    two.next().catch(() => {})
    one.terminate()
    await eventually(() => expect(replayProgress.followers()).toBe(0))

    const leaving = new AbortController()
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${adminKey}` },
      body: JSON.stringify({ query: PROGRESS, variables: { id } }),
      signal: leaving.signal,
    })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    await eventually(() => expect(replayProgress.followers()).toBe(1))
    leaving.abort()
    await eventually(() => expect(replayProgress.followers()).toBe(0))
  })

  test('of an absent or foreign one is an error', async () => {
    const { ask, url, newKey, newTenant, replayProgress } = await world()
    const { replayStart } = await ask(START, { input: FAILED })
    const one = client(url, await newKey({ tenantId: await newTenant('acme') }))
    for (const [id, code] of [
      [replayStart?.replay?.id, 'NOT_FOUND'],
      [publicId('rpl', newId(new Date())), 'NOT_FOUND'],
      ['rpl_x', 'INVALID_INPUT'],
    ]) {
      const answers: unknown[] = []
      try {
        for await (const answer of one.iterate({ query: PROGRESS, variables: { id } })) answers.push(answer)
      } catch (error) {
        answers.push({ errors: error })
      }
      expect(answers).toMatchObject([{ errors: [{ extensions: { code, path: ['id'] } }] }])
    }
    expect(replayProgress.followers()).toBe(0)
    await one.dispose()
  })
})
