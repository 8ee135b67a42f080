import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EndpointId, newId, type TenantId } from '../../schema/ids.ts'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { createEgress } from '../../src/egress/request.ts'
import { secretContext } from '../../src/endpoints/secrets.ts'
import { install } from '../../src/install.ts'
import { createLog } from '../../src/log.ts'
import { openClient, openPool } from '../../src/postgres/client.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { createWake } from '../../src/queue/wake.ts'
import { parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { createSealer } from '../../src/sealing/sealer.ts'
import { startWorker } from '../../src/worker.ts'

const retention = { days: 30, bodyDays: 30 }
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const clock = { now: () => new Date() }
const log = createLog('error')

export type System = Awaited<ReturnType<typeof startSystem>>

/** Everything but the API, on a Postgres of its own, and a receiver in a process of its own, which tells what it has seen. */
export async function startSystem(receiverUrl: URL) {
  const dataDir = await mkdtemp(join(tmpdir(), 'postrider-bench-'))
  const postgres = await startEmbeddedPostgres({ dataDir, log, shelter: `${dataDir}-shelter` })
  const receiver: ChildProcess = fork(receiverUrl)
  const [{ port }] = (await once(receiver, 'message')) as [{ port: number }]

  const db = await openPool(postgres.address, { max: 10, name: 'api', log })
  // A million rows take longer than a statement may.
  const bulk = await openPool(postgres.address, { max: 1, name: 'bulk', log, statementTimeoutMs: 0 })
  const workerDb = await openPool(postgres.address, { max: 8, name: 'worker', log, byId: true })
  const installed = await install(db, clock, { db: workerDb, log, supervise: true })
  const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')))
  const wake = await createWake(await openClient(postgres.address, { max: 2, name: 'wake', log }), log)
  const egress = createEgress({ allowNetworks: parseNetworks('127.0.0.0/8') })
  const healthRules = { failingAfterSeconds: 300, disableAfterSeconds: 432_000, disableAfterAttempts: 20 }
  const common = { wake, clock, log }
  return {
    ...common,
    address: postgres.address,
    db,
    bulk,
    tenantId: installed.defaultTenantId,
    tickets: installed.queue.tickets,
    startWorker: () =>
      startWorker({ ...installed, ...common, db: workerDb, egress, sealer, concurrency: 256, healthRules, retention }),
    async ask<Answer>(question: string): Promise<Answer> {
      receiver.send(question)
      return ((await once(receiver, 'message')) as [Answer])[0]
    },
    async addEndpoint(tenantId: TenantId, path: string, type: string): Promise<EndpointId> {
      const id = newId<'ep'>(new Date())
      await db.sql`insert into postrider.endpoints (id, tenant_id, url, event_types, timeout_seconds, max_in_flight, created_at, updated_at)
        values (${id}, ${tenantId}, ${`http://127.0.0.1:${port}${path}`}, ${[type]}, 5, 20, now(), now())`
      const sealed = sealer.seal(SECRET, secretContext(tenantId, id))
      await db.sql`insert into postrider.secrets (id, tenant_id, endpoint_id, sealed, created_at) values (${newId(new Date())}, ${tenantId}, ${id}, ${sealed}, now())`
      return id
    },
    /** So many pending deliveries of one event, spread over endpoints; `wait` says as what they wait. */
    async addWaiting(
      tenantId: TenantId,
      endpoints: readonly EndpointId[],
      count: number,
      wait: { waitingFor: 'ALLOWANCE' | 'RETRY'; at: Date | null },
    ): Promise<void> {
      const event = newId<'evt'>(new Date())
      await bulk.sql`insert into postrider.events (id, tenant_id, type, channels, occurred_at, routed_at)
        values (${event}, ${tenantId}, 'waiting', '{}', now(), now())`
      await bulk.sql`insert into postrider.event_payloads (id, payload) values (${event}, '{}')`
      await bulk.sql`insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, waiting_for, next_attempt_at, created_at)
        select (substr(${event}, 1, 14) || '7' || substr(md5(n::text), 1, 3) || '-8' || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid,
          ${tenantId}, ${event}, (${endpoints as never}::uuid[])[1 + n % ${endpoints.length}], 'waiting', ${wait.waitingFor}, ${wait.at?.toISOString() ?? null}, now()
        from generate_series(1, ${count}::int) n on conflict do nothing`
      if (wait.waitingFor === 'ALLOWANCE')
        await bulk.sql`update postrider.endpoints set backlog = true where id = any(${endpoints as never}::uuid[])`
      await bulk.sql`vacuum analyze`
      wake.signal('promote')
    },
    async stop() {
      await installed.queue.close()
      await wake.close()
      await egress.close()
      await Promise.all([db.close(), workerDb.close(), bulk.close()])
      receiver.disconnect()
      await postgres.stop()
      await rm(dataDir, { recursive: true, force: true })
      await rm(`${dataDir}-shelter`, { recursive: true, force: true })
    },
  }
}
