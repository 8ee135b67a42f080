import { timingSafeEqual } from 'node:crypto'
import { eq } from 'drizzle-orm'
import { apiKeys } from '../../schema/tables/api-keys.ts'
import { portalSessions } from '../../schema/tables/portal-sessions.ts'
import type { Orm } from '../postgres/client.ts'
import type { Viewer } from './access.ts'
import { formOf, hashOf } from './bearer-text.ts'
import { type Ending, stateOf } from './caller-state.ts'
import type { KeyUsage } from './key-usage.ts'

export type AuthenticateContext = { orm: Orm; now: Date; address: string | null; keyUsage?: Pick<KeyUsage, 'note'> }

const LONGEST = 256

/**
 * Who holds this API key or portal session's token, asking from this address; or null: unknown, expired and revoked ones are
 * all the same. The database is asked each time, so that a revocation holds at once.
 */
export async function authenticate(context: AuthenticateContext, text: string): Promise<Viewer | null> {
  if (text.length === 0 || text.length > LONGEST) return null
  return formOf(text) === 'prs' ? findPortalSession(context, hashOf(text)) : findApiKey(context, hashOf(text))
}

async function findApiKey({ orm, now, address, keyUsage }: AuthenticateContext, hash: Buffer): Promise<Viewer | null> {
  const [row] = await orm.select().from(apiKeys).where(eq(apiKeys.hash, hash))
  if (!row || !opens(row, hash, now)) return null
  keyUsage?.note(row.id, now)
  const { id, name, tenantId, scopes, expiresAt } = row
  return { kind: 'API_KEY', id, keyId: id, name, address, tenantId, scopes, expiresAt }
}

async function findPortalSession({ orm, now, address }: AuthenticateContext, hash: Buffer): Promise<Viewer | null> {
  const [row] = await orm.select().from(portalSessions).where(eq(portalSessions.hash, hash))
  if (!row || !opens(row, hash, now)) return null
  const { id, apiKeyId, name, tenantId, scope, expiresAt } = row
  return { kind: 'PORTAL_SESSION', id, keyId: apiKeyId, name, address, tenantId, scopes: [scope], expiresAt }
}

function opens(row: Ending & { hash: Buffer }, hash: Buffer, now: Date): boolean {
  // The index has compared already, in its own time; whoever could learn from that would have to invert SHA-256.
  return timingSafeEqual(row.hash, hash) && stateOf(row, now) === 'ACTIVE'
}
