import { expect, test } from 'vitest'
import { type EventTypeId, newId } from '../../schema/ids.ts'
import { createValidators } from '../../src/event-types/validators.ts'

test('a schema that is changed while it is compiled takes no room from others', async () => {
  const schema = JSON.stringify({ type: 'object', description: 'x'.repeat(300_000) })
  const sql = async (_: unknown, ids: EventTypeId[], versions: string[]) =>
    ids.map((typeId, index) => ({ typeId, version: versions[index], schema }))
  const validators = createValidators(sql as never)
  const [changing, one, other] = Array.from({ length: 3 }, () => newId<'ety'>(new Date())) as [
    EventTypeId,
    EventTypeId,
    EventTypeId,
  ]
  const get = (id = changing) => validators.get(id, '1')
  for (let change = 0; change < 4; change++) {
    const waiting = get()
    validators.forget(changing)
    // Good for those who waited, and for nobody else.
    expect((await waiting)?.(1)).toHaveLength(1)
    expect(get()).toBeInstanceOf(Promise)
    validators.forget(changing)
  }
  await Promise.all([get(one), get(other)])
  expect([get(one), get(other)].filter((known) => known instanceof Promise)).toEqual([])
})
