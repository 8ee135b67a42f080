import { newId, type TenantId } from '../../schema/ids.ts'
import type { AuditAction } from '../../schema/states.ts'
import { auditLog } from '../../schema/tables/audit-log.ts'
import type { Orm, Tx } from '../postgres/client.ts'
import type { Actor } from './actor.ts'

/** What is done to what: `tenantId` is the object's, null when it belongs to the instance; `object` its public id. Never a secret. */
export type Action = {
  action: AuditAction
  tenantId: TenantId | null
  object: string | null
  details?: Record<string, unknown>
}

/** Notes what is done, in the very transaction that does it: either both are there or none. */
export async function recordAction(orm: Pick<Orm, 'insert'>, actor: Actor, action: Action, now: Date): Promise<void> {
  await orm.insert(auditLog).values(rowOf(actor, action, now))
}

/** The same in a transaction without Drizzle. */
export async function recordActionIn(tx: Tx, actor: Actor, action: Action, now: Date): Promise<void> {
  const row = rowOf(actor, action, now)
  await tx`
    insert into postrider.audit_log (
      id, tenant_id, action, object, actor_kind, actor_id, actor_name, address, details, created_at
    ) values (
      ${row.id}, ${row.tenantId}, ${row.action}, ${row.object}, ${row.actorKind}, ${row.actorId}, ${row.actorName}, ${row.address},
      ${JSON.stringify(row.details)}::text::jsonb, ${now.toISOString()}
    )`
}

function rowOf({ kind, id, name, address }: Actor, { action, tenantId, object, details = {} }: Action, now: Date) {
  const who = { actorKind: kind, actorId: id, actorName: name, address }
  return { id: newId<'aud'>(now), tenantId, action, object, ...who, details, createdAt: now }
}
