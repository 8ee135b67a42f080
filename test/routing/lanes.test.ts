import { expect, test, vi } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { receiverOf } from '../egress/world.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

test('an event that cannot be put into its lane holds up none of the others, and goes when it can', async () => {
  const receiver = await receiverOf()
  const log = { ...silentLog, error: vi.fn() }
  const engine = await startEngine({ log })
  const { tenantId, publisher, db } = engine
  const id = await engine.addEndpoint(receiver.url)
  await engine.change(id, { ordering: 'PER_ENDPOINT' })
  await db.sql.unsafe(`
    create function public.fail() returns trigger language plpgsql as $$
      begin if new.event_type = 'poison' then raise exception 'on purpose'; end if; return new; end $$;
    create trigger fail before insert on postrider.deliveries for each row execute function public.fail();`)
  const publish = (type: string) => publisher.publish({ tenantId, type, payload: {} })
  const inOrder = async () =>
    (await engine.deliveries(id))
      .filter(({ state }) => state === 'DELIVERED')
      .toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0))
      .map(({ eventType }) => eventType)

  await publisher.publishBatch(['a', 'poison', 'b', 'c'].map((type) => ({ tenantId, type, payload: {} })))
  await eventually(async () => expect(await inOrder()).toEqual(['a', 'b', 'c']))
  await publish('d')
  await eventually(async () => expect(await inOrder()).toEqual(['a', 'b', 'c', 'd']))
  expect(log.error).toHaveBeenCalledWith(
    expect.objectContaining({ event: expect.any(String) }),
    'An event could not be put into its lanes; trying again',
  )

  await db.sql`drop trigger fail on postrider.deliveries`
  await publish('e')
  await eventually(async () => expect((await inOrder()).toSorted()).toEqual(['a', 'b', 'c', 'd', 'e', 'poison']))
})
