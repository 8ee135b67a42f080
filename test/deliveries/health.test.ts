import { expect, test } from 'vitest'
import { type EndpointId, publicId, type TenantId } from '../../schema/ids.ts'
import { resumeEndpoint, updateEndpoint } from '../../src/endpoints/save.ts'
import { testEndpoint } from '../../src/routing/test-delivery.ts'
import { receiverOf } from '../egress/world.ts'
import { type Engine, movableClock, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import type { Receiver } from '../support/receiver.ts'
import { viewerOf } from '../support/viewer.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const NO_RETRY = { delaysSeconds: [] }

/** Publishes one event and waits until all of its attempts at `endpoint` so far are settled. */
async function attempt(engine: Engine, endpoint: EndpointId): Promise<void> {
  const made = async () => (await engine.attempts()).filter((attempt) => attempt.endpointId === endpoint).length
  const before = await made()
  await engine.publish()
  await eventually(async () => expect(await made()).toBe(before + 1))
}

/** What a listener was told, by the type and the data of the events. */
const told = (listener: Receiver) =>
  listener.requests.map(({ body }) => JSON.parse(body.toString()) as { type: string; data: Record<string, unknown> })

const typesTold = (listener: Receiver) => told(listener).map(({ type }) => type)

async function world() {
  const clock = movableClock()
  const engine = await startEngine({ clock })
  const [receiver, listener, operator] = [await receiverOf(), await receiverOf(), await receiverOf()]
  const id = await engine.addEndpoint(receiver.url, { retryPolicy: NO_RETRY, eventTypes: ['invoice.*'] })
  const listening = await engine.addEndpoint(listener.url, { eventTypes: ['endpoint.*'] })
  const operating = await engine.addEndpoint(operator.url)
  await engine.change(operating, { tenantId: engine.operationsTenantId })
  // `change` moves it to another tenant, whose secrets are sealed for that one.
  await engine.reseal(operating, engine.operationsTenantId)
  return { ...engine, engine, clock, receiver, listener, operator, id, listening, operating }
}

test('HEALTHY → FAILING → DISABLED → resumed → recovered, each announced to the tenant and to operations', async () => {
  const { engine, clock, receiver, listener, operator, id, endpoint, deliveries, tenantId } = await world()
  receiver.answers(500)
  await attempt(engine, id)
  expect(await endpoint(id)).toMatchObject({ health: 'HEALTHY', failedAttempts: 1, failingSince: expect.any(Date) })
  clock.forward(5 * MINUTE)
  await attempt(engine, id)
  expect(await endpoint(id)).toMatchObject({ health: 'FAILING', state: 'ACTIVE', failedAttempts: 2 })
  await listener.waitForRequests(1)

  clock.forward(5 * DAY)
  for (let made = 2; made < 19; made++) await attempt(engine, id)
  expect(await endpoint(id)).toMatchObject({ health: 'FAILING', state: 'ACTIVE', failedAttempts: 19 })
  await attempt(engine, id)
  expect(await endpoint(id)).toMatchObject({
    health: 'FAILING',
    state: 'DISABLED',
    disabledReason: 'FAILING',
    disabledAt: expect.any(Date),
  })
  await listener.waitForRequests(2)

  // One by one: events of the same millisecond have no order among them.
  const waiting = [...(await engine.publish()), ...(await engine.publish()), ...(await engine.publish())]
  await eventually(async () =>
    expect((await deliveries(id)).filter(({ state }) => state === 'PENDING')).toHaveLength(3),
  )
  const before = receiver.requests.length
  receiver.answers(200)
  await engine.change(id, { maxInFlight: 1 })
  await resumeEndpoint(engine, viewerOf(tenantId), id)
  const requests = (await receiver.waitForRequests(before + 3)).slice(before)
  expect(requests.map(({ headers }) => headers['webhook-id'])).toEqual(waiting.map((event) => publicId('evt', event)))
  await listener.waitForRequests(3)
  await eventually(async () =>
    expect(await endpoint(id)).toMatchObject({
      health: 'HEALTHY',
      state: 'ACTIVE',
      failingSince: null,
      failedAttempts: 0,
    }),
  )

  expect(typesTold(listener)).toEqual(['endpoint.failing', 'endpoint.disabled', 'endpoint.recovered'])
  const [failing, disabled, recovered] = told(listener)
  const common = { tenant: 'default', endpoint: { id: publicId('ep', id), url: receiver.url, description: null } }
  const lastAttempt = { id: expect.stringMatching(/^att_/), status: 500, error_class: 'HTTP_STATUS' }
  expect(failing?.data).toMatchObject({ ...common, failed_attempts: 2, last_attempt: lastAttempt })
  expect(disabled?.data).toMatchObject({ ...common, reason: 'FAILING', failed_attempts: 20, last_attempt: lastAttempt })
  expect(recovered?.data).toMatchObject({ ...common, last_attempt: { status: 200, error_class: null } })
  // The operator hears the same, and of each event that was given up, though the endpoint there asked for nothing by name.
  const heard = await eventually(() => {
    const endpointNews = told(operator).filter(({ type }) => type.startsWith('endpoint.'))
    expect(endpointNews).toHaveLength(3)
    expect(typesTold(operator).filter((type) => type === 'delivery.failed')).toHaveLength(20)
    return endpointNews
  })
  expect(heard.map(({ type, data }) => [type, data])).toEqual(told(listener).map(({ type, data }) => [type, data]))
})

test('one success between failures is enough: 5 minutes begin anew', async () => {
  const { engine, clock, receiver, id, endpoint } = await world()
  receiver.answers(500, 200, 500)
  await attempt(engine, id)
  clock.forward(4 * MINUTE)
  await attempt(engine, id)
  expect(await endpoint(id)).toMatchObject({ failingSince: null, failedAttempts: 0 })
  clock.forward(4 * MINUTE)
  await attempt(engine, id)
  expect(await endpoint(id)).toMatchObject({ health: 'HEALTHY', failedAttempts: 1 })
  clock.forward(5 * MINUTE)
  await attempt(engine, id)
  expect(await endpoint(id)).toMatchObject({ health: 'FAILING' })
})

test('a tenant whose only endpoint answers 410 is heard of through operations', async () => {
  const { engine, receiver, listener, operator, id, db } = await world()
  await db.sql`update postrider.endpoints set deleted_at = now() where url = ${listener.url}`
  receiver.answers(410)
  await attempt(engine, id)
  await operator.waitForRequests(2)
  const disabled = told(operator).find(({ type }) => type === 'endpoint.disabled')
  expect(disabled?.data).toMatchObject({ tenant: 'default', reason: 'GONE', last_attempt: { status: 410 } })
  expect(listener.requests).toHaveLength(0)
})

test('an operational event that cannot be delivered is not announced in turn', async () => {
  const { engine, receiver, listener, operator, id, listening, operating, endpoint, change, db } = await world()
  for (const one of [receiver, listener, operator]) one.answers(500)
  await change(listening, { eventTypes: ['endpoint.*', 'delivery.*'], retryPolicy: NO_RETRY })
  await change(operating, { retryPolicy: NO_RETRY })
  await attempt(engine, id)
  await Promise.all([listener.waitForRequests(1), operator.waitForRequests(1)])
  await eventually(async () => {
    for (const one of [listening, operating]) expect(await endpoint(one)).toMatchObject({ failedAttempts: 1 })
  })
  const events = await db.sql<{ type: string; routed: boolean }[]>`
    select type, routed_at is not null as routed from postrider.events where type like 'delivery.%'`
  expect(events).toEqual(Array(2).fill({ type: 'delivery.failed', routed: true }))
})

test('a new URL begins anew', async () => {
  const { engine, receiver, id, endpoint, tenantId } = await world()
  receiver.answers(500)
  await attempt(engine, id)
  await updateEndpoint(engine, viewerOf(tenantId as TenantId), id, { url: `${receiver.url}/new` })
  expect(await endpoint(id)).toMatchObject({ failingSince: null, failedAttempts: 0, allowance: null })
})

test('tests and what failed on our side say nothing about an endpoint', async () => {
  const { engine, receiver, id, endpoint, db, tenantId } = await world()
  const nothing = { health: 'HEALTHY', failingSince: null, failedAttempts: 0, allowance: null }
  receiver.answers(503)
  await testEndpoint(engine, viewerOf(tenantId), id, null)
  await eventually(async () => expect(await engine.attempts()).toMatchObject([{ trigger: 'TEST', status: 503 }]))
  expect(await endpoint(id)).toMatchObject(nothing)

  await db.sql`update postrider.secrets set sealed = decode('00', 'hex') where endpoint_id = ${id}`
  await attempt(engine, id)
  expect((await engine.attempts()).at(-1)).toMatchObject({ errorClass: 'INTERNAL' })
  expect(await endpoint(id)).toMatchObject(nothing)
  expect(receiver.requests).toHaveLength(1)
})
