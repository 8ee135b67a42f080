import { expect, test, vi } from 'vitest'
import { newId } from '../../schema/ids.ts'
import type { DeliverTicket } from '../../src/deliveries/admit.ts'
import { prepare } from '../../src/deliveries/prepare.ts'
import { type Sent, send } from '../../src/deliveries/send.ts'
import { createSettleBuffer } from '../../src/deliveries/settle-buffer.ts'
import { silentLog } from '../../src/log.ts'
import { type OutboxTicket, route } from '../../src/routing/route.ts'
import { receiverOf } from '../egress/world.ts'
import { type EngineOptions, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

/** Five deliveries; to the third request the receiver answers in a way that our own code, so to say, trips over. */
async function world(fault: string, options: EngineOptions = {}) {
  const receiver = await receiverOf()
  const engine = await startEngine(options)
  const endpoint = await engine.addEndpoint(receiver.url)
  await engine.db.sql.unsafe(`
    create function public.fail() returns trigger language plpgsql as $$
      begin if ${fault} then raise exception 'on purpose'; end if; return new; end $$`)
  const failOn = (table: string) =>
    engine.db.sql.unsafe(
      `create trigger fail before insert on postrider.${table} for each row execute function public.fail()`,
    )
  return { engine, receiver, endpoint, failOn }
}

test('a result whose details cannot be recorded is settled without them', async () => {
  const log = { ...silentLog, error: vi.fn() }
  const { engine, receiver, failOn } = await world(`convert_from(new.body, 'UTF8') = 'poison'`, { log })
  await failOn('attempt_bodies')
  receiver.answers(200, { status: 200, body: 'poison' }, { status: 500, body: 'poison' }, 200)
  await engine.publish(5)
  await eventually(async () => {
    const states = (await engine.deliveries()).map(({ state, waitingFor }) => waitingFor ?? state)
    expect(states.toSorted()).toEqual(['DELIVERED', 'DELIVERED', 'DELIVERED', 'DELIVERED', 'RETRY'])
  })
  const attempts = await engine.attempts()
  expect(attempts.filter(({ responseHeaders }) => responseHeaders === null)).toHaveLength(2)
  expect(attempts.find(({ status }) => status === 500)).toMatchObject({
    errorClass: 'HTTP_STATUS',
    errorMessage: expect.stringContaining('could not record'),
  })
  expect(receiver.requests).toHaveLength(5)
  expect(log.error).toHaveBeenCalledTimes(2)
  // As the API knows it.
  const delivery = expect.stringMatching(/^dlv_[0-9a-z]{26}$/)
  expect(log.error).toHaveBeenCalledWith(expect.objectContaining({ delivery }), expect.any(String))
})

test('a delivery whose result cannot be settled at all waits for an hour, shown as INTERNAL, and nobody else notices', async () => {
  const { engine, receiver, failOn } = await world('new.status = 418')
  await failOn('attempts')
  receiver.answers(200, 418, 200)
  await engine.publish(5)
  await eventually(async () => {
    const states = (await engine.deliveries()).map(({ state, waitingFor }) => waitingFor ?? state)
    expect(states.toSorted()).toEqual(['DELIVERED', 'DELIVERED', 'DELIVERED', 'DELIVERED', 'RETRY'])
  })
  const [parked] = (await engine.deliveries()).filter(({ state }) => state === 'PENDING')
  expect(parked?.nextAttemptAt?.getTime()).toBeGreaterThan(Date.now() + 3_500_000)
  const [attempt] = (await engine.attempts()).filter(({ deliveryId }) => deliveryId === parked?.id)
  expect(attempt).toMatchObject({ errorClass: 'INTERNAL', succeeded: false, number: 1 })
  expect(parked).toMatchObject({ attemptsMade: 1, lastAttemptId: attempt?.id })
  expect(await engine.ticketsIn('deliver')).toBe(0)
})

test('a day that gets no partition: deliveries wait for an hour instead of being sent again every minute', async () => {
  const receiver = await receiverOf()
  const engine = await startEngine({ worker: false })
  await engine.addEndpoint(receiver.url)
  await engine.publish(3)
  await route(engine, (await engine.tickets.claim<OutboxTicket>('outbox', 16)).claims)
  const { claims } = await engine.tickets.claim<DeliverTicket>('deliver', 16)
  const { ready } = await prepare(engine.db.sql, engine.sealer, engine.clock, claims)
  const sent = await Promise.all(ready.map((one) => send(engine, one)))
  const noSuchDay = new Date(Date.now() + 40 * 86_400_000)
  const settling = createSettleBuffer({
    ...engine,
    log: silentLog,
    healthRules: { failingAfterSeconds: 300, disableAfterSeconds: 432_000, disableAfterAttempts: 20 },
    onRetryScheduled() {},
    onSettled() {},
    partitionPatienceMs: 500,
  })
  for (const result of sent) settling.add({ ...result, attempt: { ...result.attempt, id: newId(noSuchDay) } } as Sent)
  await settling.drain(new Date(Date.now() + 10_000))
  const parked = { state: 'PENDING', waitingFor: 'RETRY', ticketId: null, attemptsMade: 1, lastAttemptId: null }
  expect(await engine.deliveries()).toMatchObject(Array(3).fill(parked))
  expect(await engine.ticketsIn('deliver')).toBe(0)
})
