import { expect, test } from 'vitest'
import { launch, settingsFor } from '../support/app.ts'
import { createDatabase } from '../support/database.ts'

test('a worker alone tells on its port how it is, and its log tells of its role and its end', async () => {
  const settings = await settingsFor(await createDatabase())
  const worker = await launch({ ...settings, POSTRIDER_ROLE: 'worker', POSTRIDER_LOG_LEVEL: 'info' })
  const url = /http:\/\/[\d.]+:\d+(?=\/ready)/.exec(worker.output())?.[0]
  const ask = async (path: string) => {
    const response = await fetch(`${url}${path}`)
    return [response.status, await response.json()]
  }
  expect(await ask('/health')).toEqual([200, { status: 'up' }])
  expect(await ask('/ready')).toEqual([200, { status: 'ready' }])
  expect((await ask('/graphql'))[0]).toBe(404)
  expect(await worker.stop()).toBe(0)
  const last = worker.output().trim().split('\n').at(-1) as string
  expect(JSON.parse(last)).toMatchObject({ level: 'info', role: 'worker', finished: 0, givenBack: 0, msg: 'Stopped' })
}, 60_000)
