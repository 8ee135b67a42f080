import { newId, publicId, type TenantId } from '../../schema/ids.ts'
import { type AuditFilterInput, listAuditEntries } from '../../src/audit/find.ts'
import type { Orm } from '../../src/postgres/client.ts'
import { readPage } from '../../src/postgres/keyset.ts'
import { openDatabase } from '../support/database.ts'

export type Reading = { name: string; rows: number; blocks: number; ms: number }

/**
 * Reads pages out of an audit log with so many entries, and tells for each how many blocks of 8 KiB Postgres looked at. A
 * tenth of them is one small tenant's; rare actions, objects and actors are one in ten thousand.
 */
export async function readFromMany(count: number): Promise<Reading[]> {
  const db = await openDatabase(undefined, { statementTimeoutMs: 0 })
  const [large, small] = [newId<'ten'>(new Date()), newId<'ten'>(new Date())]
  const [common, rare] = [newId<'key'>(new Date()), newId<'key'>(new Date())]
  const [object, other] = [publicId('ep', newId(new Date())), publicId('ep', newId(new Date()))]
  await db.sql`
    insert into postrider.audit_log (id, tenant_id, action, object, actor_kind, actor_id, actor_name, address, created_at)
    select (lpad(to_hex(1790000000000 + n * 1000), 12, '0') || '7000' || '8' || substr(md5(n::text), 1, 15))::uuid,
      case when n % 10 = 0 then ${small}::uuid else ${large}::uuid end,
      case when n % 10000 = 0 then 'ENDPOINT_REVEAL_SECRET' when n % 2 = 0 then 'DELIVERY_RETRY' else 'ENDPOINT_UPDATE' end,
      case when n % 10000 = 0 then ${object} else ${other} end, 'API_KEY',
      case when n % 10000 = 0 then ${rare}::uuid else ${common}::uuid end, 'a key', '127.0.0.1',
      to_timestamp((1790000000000 + n * 1000) / 1000)
    from generate_series(1::bigint, ${count}) as n`
  await db.sql`vacuum analyze postrider.audit_log`
  // Not before postgres.js is loaded, which ours must be first to do.
  const { drizzle } = await import('drizzle-orm/postgres-js')
  const queries: { query: string; params: unknown[] }[] = []
  const orm = drizzle({
    client: db.sql,
    logger: { logQuery: (query, params) => queries.push({ query, params }) },
  }) as Orm
  const middle = new Date(1790000000000 + count * 500)
  const questions: [string, TenantId | 'every', AuditFilterInput][] = [
    ['all', 'every', {}],
    ['of a tenant', small, {}],
    ['a rare action', 'every', { actions: ['ENDPOINT_REVEAL_SECRET'] }],
    ['a rare action of a tenant', small, { actions: ['ENDPOINT_REVEAL_SECRET'] }],
    ['an action that never was', large, { actions: ['EVENT_EXPUNGE'] }],
    ['several actions', small, { actions: ['ENDPOINT_REVEAL_SECRET', 'EVENT_EXPUNGE', 'TENANT_DELETE'] }],
    ['a common action', large, { actions: ['DELIVERY_RETRY'] }],
    ['a rare object', small, { objectIds: [object] }],
    ['a common object', large, { objectIds: [other] }],
    ['a rare actor', small, { actorIds: [publicId('key', rare)] }],
    ['a rare and a common actor', large, { actorIds: [publicId('key', rare), publicId('key', common)] }],
    ['before a moment', small, { until: middle }],
    ['since a moment', 'every', { since: middle }],
  ]
  const readings: Reading[] = []
  for (const [name, whose, filter] of questions) {
    const startedAt = performance.now()
    const { edges } = await listAuditEntries(orm, whose, filter, readPage({}))
    const ms = Math.round((performance.now() - startedAt) * 10) / 10
    const { query, params } = queries.at(-1) as (typeof queries)[number]
    const [plan] = await db.sql.unsafe(`explain (analyze, buffers, format json) ${query}`, params as never)
    const blocks = Object.entries<number>(plan?.['QUERY PLAN'][0].Plan ?? {}).filter(([key]) =>
      /^Shared (Hit|Read) Blocks$/.test(key),
    )
    readings.push({ name, rows: edges.length, blocks: blocks.reduce((sum, [, count]) => sum + count, 0), ms })
  }
  return readings
}
