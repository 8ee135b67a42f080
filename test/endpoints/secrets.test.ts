import { expect, test } from 'vitest'
import { type EndpointId, newId, type TenantId } from '../../schema/ids.ts'
import { findSecrets, listSecrets, type Secret } from '../../src/endpoints/secrets.ts'
import { startEngine } from '../support/engine.ts'

test('secrets are found by those who may see their endpoint, also where its id is known', async () => {
  const { db, addEndpoint, tenantId } = await startEngine({ worker: false })
  const endpoint: EndpointId = await addEndpoint('http://127.0.0.1:9/')
  const now = new Date()
  const [[secret]] = (await listSecrets(db.orm, tenantId, [endpoint], now)) as [[Secret]]
  const stranger = newId<'ten'>(now) as TenantId

  expect(await listSecrets(db.orm, 'every', [endpoint], now)).toEqual([[secret]])
  expect(await listSecrets(db.orm, stranger, [endpoint], now)).toEqual([[]])
  expect(await findSecrets(db.orm, tenantId, [secret.id], now)).toEqual([secret])
  expect(await findSecrets(db.orm, stranger, [secret.id], now)).toEqual([])
})
