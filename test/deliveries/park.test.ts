import { expect, test, vi } from 'vitest'
import { silentLog } from '../../src/log.ts'
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
