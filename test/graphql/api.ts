import { onTestFinished } from 'vitest'
import { newId, publicId, type TenantId } from '../../schema/ids.ts'
import type { Feed } from '../../src/attempts/feed.ts'
import { SYSTEM } from '../../src/audit/actor.ts'
import { createCapabilities } from '../../src/graphql/capabilities.ts'
import { buildSchema } from '../../src/graphql/schema.ts'
import type { HttpLimits } from '../../src/http/limits.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { silentLog } from '../../src/log.ts'
import { parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { createSealer } from '../../src/sealing/sealer.ts'
import { makeApiKey, type NewApiKey } from '../../src/tenants/api-keys.ts'
import { createKeyUsage } from '../../src/tenants/key-usage.ts'
import { findLiving } from '../../src/tenants/living.ts'
import { createCallerWatch } from '../../src/tenants/watch.ts'
import { type EngineOptions, startEngine } from '../support/engine.ts'

const graphqlSchema = buildSchema()

/** Data of which a test knows the shape: `data.endpointCreate.endpoint.id`. */
export interface Dig {
  [name: string]: Dig
}

type Answer = {
  status: number
  data: Record<string, never>
  errors?: { message: string; extensions: Record<string, unknown> }[]
}

type ApiOptions = EngineOptions & {
  feed?: Feed
  introspection?: boolean
  graphiql?: boolean
  allowedOrigins?: string[]
  rateLimit?: number
  limits?: Partial<HttpLimits>
  /** Between looks at the callers in use. */
  callerPollMs?: number
}

/** The API over HTTP on a fresh database, without a worker unless asked for one: nothing is delivered. */
export async function startApi(options: ApiOptions = {}) {
  const engine = await startEngine({ worker: false, ...options })
  const { db, clock, tenantId } = engine
  const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')))
  const feed = options.feed ?? engine.feed
  const log = options.log ?? silentLog
  const keyUsage = createKeyUsage({ sql: db.sql, log })
  onTestFinished(() => keyUsage.close())
  const capabilities = createCapabilities({ ...engine, log, feed, sealer, keyUsage, defaultTenantId: tenantId })
  const { introspection = true, graphiql = true, allowedOrigins = [], rateLimit = null, limits = {} } = options
  const config = { host: '127.0.0.1', port: 0, allowedOrigins, introspection, graphiql, rateLimit }
  const ready = () => db.sql`select 1`
  const callers = createCallerWatch({
    ...engine,
    log,
    living: (ids, now) => findLiving(db.orm, ids, now),
    ...(options.callerPollMs ? { pollMs: options.callerPollMs } : {}),
  })
  onTestFinished(() => callers.close())
  const server = createHttpServer({ config, capabilities, graphqlSchema, log, callers, ready, limits })
  await server.listen()
  onTestFinished(() => server.close())
  const url = `${server.url()}/graphql`
  const newKey = async (given: Partial<NewApiKey> = {}) => {
    const key = { tenantId: null, name: 'test', scopes: ['ADMIN' as const], ...given }
    const made = await makeApiKey(db.orm, SYSTEM, key, clock.now())
    // The audit log of a test begins with what the test does.
    await db.sql`delete from postrider.audit_log where object = ${publicId('key', made.apiKey.id)}`
    return made.key
  }
  const adminKey = await newKey()

  /** Sends one operation; the answer as it came. */
  async function send(query: string, variables: object = {}, key = adminKey): Promise<Answer> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })
    return { status: response.status, ...((await response.json()) as Omit<Answer, 'status'>) }
  }

  /** The data of an operation that must succeed. */
  async function ask<Data = Dig>(query: string, variables: object = {}, key = adminKey): Promise<Data> {
    const { data, errors } = await send(query, variables, key)
    if (errors) throw new Error(JSON.stringify(errors))
    return data as Data
  }

  async function newTenant(key: string): Promise<TenantId> {
    const [row] = await db.sql<{ id: TenantId }[]>`
      insert into postrider.tenants (id, key, created_at) values (${newId<'ten'>(clock.now())}, ${key}, now()) returning id`
    return row?.id as TenantId
  }

  return { ...engine, server, callers, capabilities, keyUsage, url, adminKey, newKey, newTenant, send, ask, sealer }
}
