import { test } from 'vitest'
import { createEndpoint, launch, type Process, publish, settingsFor } from '../support/app.ts'
import { createDatabase } from '../support/database.ts'
import { startReceiver } from '../support/receiver.ts'

test('a fleet starts at once on an empty database', async () => {
  const address = await createDatabase('template0')
  const settings = await settingsFor(address)
  const roles = ['all', 'api', 'worker', 'api']
  const [{ api }] = (await Promise.all(roles.map((POSTRIDER_ROLE) => launch({ ...settings, POSTRIDER_ROLE })))) as [
    Process,
  ]
  const receiver = await startReceiver()
  await createEndpoint(api(), { url: receiver.url })

  await publish(api(), { type: 'order.placed', payload: {} })

  await receiver.waitForRequests(1)
})
