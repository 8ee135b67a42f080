import { expect, test } from 'vitest'
import { createEndpoint, publish, startServer } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

type Item = { deliveryAttempts: { cursor: string; attempt?: { id: string; eventId: string } } }

const FEED = `subscription ($after: String) {
  deliveryAttempts(after: $after) { __typename cursor ... on AttemptRecorded { attempt { id eventId } } }
}`
const ATTEMPTS = '{ attempts(first: 100) { nodes { id } pageInfo { hasNextPage endCursor } } }'

test('a client that leaves and comes back with its last cursor gets every attempt exactly once', async () => {
  const { api } = await startServer()
  const receiver = await startReceiver()
  await createEndpoint(api, { url: receiver.url, maxInFlight: 100 })
  const publishMany = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, n) => publish(api, { type: 'feed.watched', payload: { n } })))

  const { feedCursor } = await api.ask<{ feedCursor: string }>('{ feedCursor }')
  const first = api.follow<Item>(FEED, { after: feedCursor })
  const begun = publishMany(200)
  await eventually(() => expect(first.items.length).toBeGreaterThanOrEqual(20))
  await first.stop()
  const seen = first.items.map(({ deliveryAttempts }) => deliveryAttempts)

  await Promise.all([begun, publishMany(300)])
  await receiver.waitForRequests(500, 20_000)
  const second = api.follow<Item>(FEED, { after: seen.at(-1)?.cursor })

  await eventually(() => {
    const ids = [...seen, ...second.items.map(({ deliveryAttempts }) => deliveryAttempts)].flatMap(
      ({ attempt }) => attempt?.id ?? [],
    )
    expect(ids).toHaveLength(500)
    expect(new Set(ids).size).toBe(500)
  }, 20_000)
  expect(await api.ask<{ attempts: { nodes: unknown[] } }>(ATTEMPTS)).toMatchObject({
    attempts: { pageInfo: { hasNextPage: true } },
  })
  expect([first.failed(), second.failed()]).toEqual([null, null])
})

test('the same feed comes as server-sent events', async () => {
  const { api } = await startServer()
  const receiver = await startReceiver()
  await createEndpoint(api, { url: receiver.url })
  const { feedCursor } = await api.ask<{ feedCursor: string }>('{ feedCursor }')
  const abort = new AbortController()
  const response = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${api.key}` },
    body: JSON.stringify({ query: FEED, variables: { after: feedCursor } }),
    signal: abort.signal,
  })
  const event = await publish(api, { type: 'feed.watched', payload: {} })

  let text = ''
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString()
    if (text.includes(event)) break
  }
  abort.abort()

  expect(response.headers.get('content-type')).toContain('text/event-stream')
  expect(text).toContain('event: next')
})
