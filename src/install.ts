import { readEpoch } from './attempts/epoch.ts'
import type { Db } from './postgres/client.ts'
import type { Clock } from './postgres/clock.ts'
import { migrate, underMigrationLock } from './postgres/migrate.ts'
import { openQueue, type Queue, type QueueOptions } from './queue/open.ts'
import { makePartitions } from './retention/partitions.ts'
import { type BuiltInTenants, ensureTenants } from './tenants/find.ts'

export type Installed = BuiltInTenants & { queue: Queue; epoch: string }

/**
 * Brings the database to what this program needs: tables, partitions, queues, the tenants that are always there. Many may start at once.
 * `db`: a pool whose statements may take as long as a migration takes; the queue keeps the one in its options.
 */
export function install(db: Db, clock: Clock, queueOptions: QueueOptions): Promise<Installed> {
  return underMigrationLock(db, async () => {
    await migrate(db)
    await makePartitions(db.sql, clock.now())
    const epoch = await readEpoch(db.sql)
    const tenants = await ensureTenants(db.orm, clock.now())
    const queue = await openQueue(queueOptions)
    return { queue, epoch, ...tenants }
  })
}
