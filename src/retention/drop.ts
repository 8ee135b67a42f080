import type { Log } from '../log.ts'
import type { Session } from '../postgres/client.ts'
import { isUnavailable } from '../postgres/unavailable.ts'
import type { Partition } from './partitions.ts'

/** What somebody else's long transaction stands in the way of is left for the next time. */
const MOST_TRIES = 3
const LOCK_NOT_AVAILABLE = '55P03'
const QUERY_CANCELED = '57014'

/**
 * Hides partitions, oldest first, and returns those that are plain tables now. Nobody who writes waits for that: it waits for
 * those who may still see them, and gives up when that takes too long; then the partition is hidden already, and the
 * rest is done the next time.
 */
export async function detach(session: Session, log: Log, partitions: readonly Partition[]): Promise<Partition[]> {
  const detached: Partition[] = []
  // Of each table one may be on its way at a time.
  const begun = [...partitions].sort((a, b) => Number(b.state === 'PENDING') - Number(a.state === 'PENDING'))
  for (const partition of begun) {
    if (partition.state !== 'DETACHED' && !(await detachOne(session, log, partition))) break
    detached.push(partition)
  }
  return detached
}

/** Drops what is hidden. What cannot be, as where somebody's view stands on it, holds up nothing else. */
export async function drop(session: Session, log: Log, partitions: readonly Partition[]): Promise<void> {
  const dropped: string[] = []
  for (const { name } of partitions) {
    try {
      await session.unsafe(`drop table if exists postrider.${name}`)
      dropped.push(name)
    } catch (err) {
      if (isUnavailable(err)) throw err
      log.error({ err, partition: name }, 'What is no longer kept could not be dropped; trying again later')
    }
  }
  if (dropped.length > 0) log.info({ partitions: dropped }, 'Dropped what is no longer kept')
}

async function detachOne(session: Session, log: Log, { table, name, state }: Partition): Promise<boolean> {
  let how = state === 'PENDING' ? 'finalize' : 'concurrently'
  for (let tries = 1; ; tries++) {
    try {
      await session.unsafe(`alter table postrider.${table} detach partition postrider.${name} ${how}`)
      return true
    } catch (error) {
      const { code } = error as { code?: string }
      if (isUnavailable(error)) throw error
      if (code !== LOCK_NOT_AVAILABLE && code !== QUERY_CANCELED) {
        log.error({ err: error, partition: name }, 'What is no longer kept could not be hidden; trying again later')
        return false
      }
      if (await isPending(session, name)) how = 'finalize'
      if (tries < MOST_TRIES) continue
      log.warn({ partition: name }, 'A transaction that lasts long is in the way of retention; trying again later')
      return false
    }
  }
}

async function isPending(session: Session, name: string): Promise<boolean> {
  const rows =
    await session`select from pg_inherits where inhrelid = ${`postrider.${name}`}::regclass and inhdetachpending`
  return rows.length > 0
}
