import { expect, test } from 'vitest'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'

const WATCH = JSON.stringify({ query: 'subscription { deliveryAttempts { cursor } }' })
const SESSION = 'mutation { portalSessionCreate(input: { tenant: "acme", scope: READ }) { token } }'
const REFUSED =
  'At most 4 live subscriptions may be open with the keys and portal sessions of one tenant: end some of them.'

test('a tenant has so many live subscriptions with all its keys and portal sessions together, and leaves the rest to others', async () => {
  const limits = { subscriptionsPerTenant: 4, subscriptionsPerCaller: 3 }
  const { url, newKey, newTenant, ask, feed } = await startApi({ limits })
  const [acme, globex] = [await newTenant('acme'), await newTenant('globex')]
  const open = (key: string) => {
    const accepted = { 'content-type': 'application/json', accept: 'text/event-stream' }
    return fetch(url, { method: 'POST', headers: { ...accepted, authorization: `Bearer ${key}` }, body: WATCH })
  }
  const watch = async (key: string, count: number) => {
    const before = feed.subscribers()
    const streams = await Promise.all(Array.from({ length: count }, () => open(key)))
    await eventually(() => expect(feed.subscribers()).toBe(before + count))
    return streams
  }
  const [one] = await watch(await newKey({ scopes: ['READ'], tenantId: acme }), 3)
  const token = String((await ask(SESSION)).portalSessionCreate?.token)
  await watch(token, 1)
  for (const key of [token, await newKey({ scopes: ['READ'], tenantId: acme })]) {
    expect(await (await open(key)).text()).toContain(REFUSED)
  }
  await watch(await newKey({ scopes: ['READ'], tenantId: globex }), 3)
  await watch(await newKey({ scopes: ['READ'] }), 3)

  await one?.body?.cancel()
  await eventually(() => expect(feed.subscribers()).toBe(9))
  await watch(token, 1)
})
