import type { ExecutionArgs } from 'graphql'
import { expect, test } from 'vitest'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { createStreams, limitStreams } from '../../src/http/streams.ts'
import { startApi } from '../graphql/api.ts'
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
