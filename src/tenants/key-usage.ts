import type { ApiKeyId } from '../../schema/ids.ts'
import type { Log } from '../log.ts'
import type { Sql } from '../postgres/client.ts'

export type KeyUsage = {
  /** A key was used at this moment. Costs no statement. */
  note(key: ApiKeyId, at: Date): void
  /** Writes what is noted. */
  close(): Promise<void>
}

export type KeyUsageOptions = { sql: Sql; log: Log; everyMs?: number; firstAfterMs?: number }

const EVERY_MS = 60_000
// A key that is tried out is seen to be used in a moment; the requests of a start share a statement.
const FIRST_AFTER_MS = 1000

/**
 * Keeps `last_used_at` of API keys: at most one statement in `everyMs` for all keys of this process together, and none while
 * nobody asks anything. What a killed process had noted is lost: up to a minute.
 */
export function createKeyUsage({
  sql,
  log,
  everyMs = EVERY_MS,
  firstAfterMs = FIRST_AFTER_MS,
}: KeyUsageOptions): KeyUsage {
  const used = new Map<ApiKeyId, Date>()
  let writtenAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | null = null
  let closed = false

  const write = async () => {
    timer = null
    writtenAt = performance.now()
    const noted = [...used]
    used.clear()
    if (noted.length === 0) return
    // Locked in one order: two processes that note the same keys would wait for each other.
    await sql`
      with used as (
        select * from unnest(
          ${noted.map(([id]) => id) as never}::uuid[], ${noted.map(([, at]) => at.toISOString()) as never}::text[]::timestamptz[]
        ) as used (id, at)
      ), locked as materialized (
        select id from postrider.api_keys where id in (select id from used) order by id for no key update
      )
      update postrider.api_keys key set last_used_at = greatest(last_used_at, used.at)
      from locked join used using (id) where key.id = locked.id`.catch((err) =>
      log.debug({ err }, 'When keys were last used was not noted'),
    )
  }

  return {
    note(key, at) {
      used.set(key, at)
      if (timer !== null || closed) return
      const wait = Math.max(firstAfterMs, writtenAt + everyMs - performance.now())
      timer = setTimeout(() => void write(), wait).unref()
    },
    async close() {
      closed = true
      if (timer !== null) clearTimeout(timer)
      await write()
    },
  }
}
