import { onTestFinished } from 'vitest'
import { newId, type TenantId } from '../../schema/ids.ts'
import type { Feed } from '../../src/attempts/feed.ts'
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
import { createCredentialWatch } from '../../src/tenants/watch.ts'
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
  /** Between looks at the credentials in use. */
  credentialPollMs?: number
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
  const credentials = createCredentialWatch({
    ...engine,
    log,
    living: (ids) => findLiving(db.orm, ids),
    ...(options.credentialPollMs ? { pollMs: options.credentialPollMs } : {}),
  })
  onTestFinished(() => credentials.close())
  const server = createHttpServer({ config, capabilities, graphqlSchema, log, credentials, ready, limits })
  await server.listen()
  onTestFinished(() => server.close())
  const url = `${server.url()}/graphql`
  const newKey = async (key: Partial<NewApiKey> = {}) =>
    (await makeApiKey(db.orm, { tenantId: null, name: 'test', scopes: ['ADMIN'], ...key }, clock.now())).text
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

  return { ...engine, server, credentials, capabilities, keyUsage, url, adminKey, newKey, newTenant, send, ask, sealer }
}
