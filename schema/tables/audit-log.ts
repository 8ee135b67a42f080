import { sql } from 'drizzle-orm'
import { check, index, jsonb, text, uuid } from 'drizzle-orm/pg-core'
import { ACTOR_KINDS, type ActorKind, AUDIT_ACTIONS, type AuditAction } from '../states.ts'
import { id, moment, oneOf, postrider } from './postrider.ts'

/** Who changed what, when and from where. Kept for good; no foreign keys, so that it outlives what it tells of. */
export const auditLog = postrider.table(
  'audit_log',
  {
    id: id<'aud'>('id').primaryKey(),
    /** The tenant of the object; null for what belongs to the whole instance. */
    tenantId: id<'ten'>('tenant_id'),
    action: text('action').$type<AuditAction>().notNull(),
    /** The public id of what was changed, like `ep_…`; null where the action has no single object. */
    object: text('object'),
    actorKind: text('actor_kind').$type<ActorKind>().notNull(),
    /** The API key or portal session; null for SYSTEM. */
    actorId: uuid('actor_id'),
    /** What it was called then. */
    actorName: text('actor_name').notNull(),
    /** The address the request came from; null for what no request has brought about. */
    address: text('address'),
    /** What else there is to tell; never a secret. */
    details: jsonb('details').$type<Record<string, unknown>>().notNull().default({}),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [
    index('audit_log_of_tenant').on(table.tenantId, table.id),
    index('audit_log_of_tenant_action').on(table.tenantId, table.action, table.id),
    index('audit_log_of_action').on(table.action, table.id),
    index('audit_log_of_object').on(table.object, table.id),
    index('audit_log_of_actor').on(table.actorId, table.id),
    check('audit_log_action', oneOf(table.action, AUDIT_ACTIONS)),
    check('audit_log_actor_kind', oneOf(table.actorKind, ACTOR_KINDS)),
    check('audit_log_actor', sql`(${table.actorKind} = 'SYSTEM') = (${table.actorId} is null)`),
  ],
)
