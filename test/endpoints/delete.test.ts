import { expect, test } from 'vitest'
import { deleteEndpoint } from '../../src/endpoints/save.ts'
import { startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'

test('what waits for a deleted endpoint is cancelled, however much it is', async () => {
  const engine = await startEngine()
  const endpoint = await engine.addEndpoint('http://127.0.0.1:9/hook', { maxInFlight: 1 })
  await engine.change(endpoint, { state: 'PAUSED' })
  for (let i = 0; i < 5; i++) await engine.publish(500)
  await eventually(async () => expect(await engine.deliveries(endpoint)).toHaveLength(2500))

  await deleteEndpoint(engine, engine.viewer, endpoint)

  await eventually(async () => {
    const rows = await engine.deliveries(endpoint)
    expect(rows.filter(({ state }) => state === 'CANCELLED')).toHaveLength(2500)
    expect(await engine.endpoint(endpoint)).toMatchObject({ backlog: false })
  })
})
