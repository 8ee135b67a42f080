import type { ExecutionArgs } from 'graphql'
import { expect, test } from 'vitest'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { createStreams, limitStreams } from '../../src/http/streams.ts'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'
import { viewerOf } from '../support/viewer.ts'

test('subscriptions that are refused, as with a cursor of nonsense, take no place from those that are not', async () => {
  const { url, adminKey, feed } = await startApi({ limits: { subscriptions: 1 } })
  const watch = (after: string) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${adminKey}` },
      body: JSON.stringify({ query: `subscription { deliveryAttempts(after: "${after}") { cursor } }` }),
    })
  for (let i = 0; i < 3; i++) expect(await (await watch('nonsense')).text()).toContain('INVALID_INPUT')
  expect(feed.subscribers()).toBe(0)
})

test.each(['application/json', 'application/graphql-response+json', 'multipart/mixed', 'text/plain'])(
  'nor do those whose answer nobody can send, as %s',
  async (accept) => {
    const { url, adminKey, feed } = await startApi({ limits: { subscriptions: 1 } })
    for (let i = 0; i < 3; i++) {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept, authorization: `Bearer ${adminKey}` },
        body: JSON.stringify({ query: 'subscription { deliveryAttempts { cursor } }' }),
      })
      expect(response.status).toBe(406)
      await response.text()
      await eventually(() => expect(feed.subscribers()).toBe(0))
    }
  },
)

test('nor do those whose client has left before they began', async () => {
  const api = await startApi({ limits: { subscriptions: 3 } })
  const subscribe = api.feed.subscribe
  const asked = Promise.withResolvers<void>()
  let asking = 0
  let begun = 0
  api.feed.subscribe = async (options) => {
    asking++
    await asked.promise
    const items = await subscribe(options)
    begun++
    return items
  }
  const leave = new AbortController()
  const answers = Array.from({ length: 3 }, () =>
    fetch(api.url, {
      method: 'POST',
      signal: leave.signal,
      headers: {
        'content-type': 'application/json',
        accept: 'text/event-stream',
        authorization: `Bearer ${api.adminKey}`,
      },
      body: JSON.stringify({ query: 'subscription { deliveryAttempts { cursor } }' }),
    }),
  )
  await eventually(() => expect(asking).toBe(3))
  leave.abort()
  await Promise.allSettled(answers)
  // Asked after they left, and so answered after the server has seen it.
  await api.ask('{ viewer { name } }')
  asked.resolve()
  await eventually(() => expect(begun).toBe(3))
  await eventually(() => expect(api.feed.subscribers()).toBe(0))
})

test('nor do those that fail', async () => {
  const streams = createStreams(HTTP_LIMITS)
  let subscribe = async (_args: ExecutionArgs): Promise<unknown> => {
    throw new Error('it broke')
  }
  const plugin = limitStreams(streams, { watch: () => () => {} })
  plugin.onSubscribe?.({
    subscribeFn: subscribe,
    setSubscribeFn: (limited: typeof subscribe) => {
      subscribe = limited
    },
  } as never)
  const args = { contextValue: { viewer: viewerOf(null) } } as never
  await expect(subscribe(args)).rejects.toThrow('it broke')
  expect(streams.count()).toBe(0)
})
