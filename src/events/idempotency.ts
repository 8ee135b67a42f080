import type { EventId, TenantId } from '../../schema/ids.ts'
import type { Sql, Tx } from '../postgres/client.ts'
import type { Draft } from './draft.ts'

/** What a draft's idempotency key turned out to be: new, known with the same body, or known with another one. */
export type KeyClaim = { kind: 'fresh' } | { kind: 'same'; eventId: EventId } | { kind: 'conflict' }

type Options = { now: Date; hours: number; lockTimeout: string }
type KeyRow = { tenantId: TenantId; key: string; bodyHash: Buffer; eventId: EventId }

/**
 * Claims the keys of those drafts that carry one. Two transactions with one key meet at its primary key: the second
 * waits for the first, at most `lockTimeout`. Keys are claimed in one order, so that no two transactions wait for each other.
 */
export async function claimKeys(tx: Tx, drafts: readonly Draft[], options: Options): Promise<Map<Draft, KeyClaim>> {
  const firsts = new Map<string, Draft>()
  for (const draft of drafts) {
    if (draft.idempotency && !firsts.has(nameOf(draft))) firsts.set(nameOf(draft), draft)
  }
  if (firsts.size === 0) return new Map()
  const holders = await holdersOf(
    tx,
    [...firsts.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, draft]) => draft),
    options,
  )
  const claims = new Map<Draft, KeyClaim>()
  for (const draft of drafts) {
    if (draft.idempotency) claims.set(draft, judge(draft, holders.get(nameOf(draft)) as KeyRow))
  }
  return claims
}

/** The events that drafts with a key repeat, body and all. For drafts that are not to be written: nothing is claimed. */
export async function findRepeats(sql: Sql, drafts: readonly Draft[], now: Date): Promise<Map<Draft, EventId>> {
  const keyed = drafts.filter(({ idempotency }) => idempotency !== null)
  if (keyed.length === 0) return new Map()
  const rows = await sql<KeyRow[]>`
    select tenant_id as "tenantId", key, body_hash as "bodyHash", event_id as "eventId" from postrider.idempotency_keys
    join unnest(
      ${keyed.map(({ tenantId }) => tenantId)}::uuid[], ${keyed.map(({ idempotency }) => idempotency?.key as string)}::text[]
    ) as draft (tenant_id, key) using (tenant_id, key)
    where expires_at > ${now.toISOString()}::timestamptz`
  const holders = new Map(rows.map((row) => [`${row.tenantId} ${row.key}`, row]))
  const repeats = keyed.flatMap((draft) => {
    const holder = holders.get(nameOf(draft))
    return holder && draft.idempotency?.bodyHash.equals(holder.bodyHash) ? [[draft, holder.eventId] as const] : []
  })
  return new Map(repeats)
}

/** Forgets expired keys. */
export async function dropExpiredKeys(sql: Sql, now: Date): Promise<void> {
  await sql`delete from postrider.idempotency_keys where expires_at <= ${now.toISOString()}`
}

const nameOf = (draft: Draft) => `${draft.tenantId} ${draft.idempotency?.key}`

function judge(draft: Draft, holder: KeyRow): KeyClaim {
  if (holder.eventId === draft.id) return { kind: 'fresh' }
  return draft.idempotency?.bodyHash.equals(holder.bodyHash)
    ? { kind: 'same', eventId: holder.eventId }
    : { kind: 'conflict' }
}

/** Inserts the keys where they are new or expired, and returns who holds each of them now. */
async function holdersOf(
  tx: Tx,
  drafts: readonly Draft[],
  { now, hours, lockTimeout }: Options,
): Promise<Map<string, KeyRow>> {
  const tenantIds = drafts.map((draft) => draft.tenantId)
  const keys = drafts.map((draft) => draft.idempotency?.key as string)
  const hashes = drafts.map((draft) => draft.idempotency?.bodyHash.toString('hex') as string)
  const expiresAt = new Date(now.getTime() + hours * 3_600_000).toISOString()
  await tx`select set_config('lock_timeout', ${lockTimeout}, true)`
  await tx`
    insert into postrider.idempotency_keys as held (tenant_id, key, body_hash, event_id, expires_at)
    select tenant_id, key, decode(hash, 'hex'), event_id, ${expiresAt}::timestamptz
    from unnest(${tenantIds}::uuid[], ${keys}::text[], ${hashes}::text[], ${drafts.map((draft) => draft.id)}::uuid[])
      as draft (tenant_id, key, hash, event_id)
    on conflict (tenant_id, key) do update
      set body_hash = excluded.body_hash, event_id = excluded.event_id, expires_at = excluded.expires_at
      where held.expires_at <= ${now.toISOString()}::timestamptz`
  const rows = await tx<KeyRow[]>`
    select tenant_id as "tenantId", key, body_hash as "bodyHash", event_id as "eventId"
    from postrider.idempotency_keys
    join unnest(${tenantIds}::uuid[], ${keys}::text[]) as draft (tenant_id, key) using (tenant_id, key)`
  return new Map(rows.map((row) => [`${row.tenantId} ${row.key}`, row]))
}
