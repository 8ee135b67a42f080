import { type GraphQLField, isNonNullType } from 'graphql'
import { expect, onTestFinished, test } from 'vitest'
import { parsePublicId, publicId } from '../../schema/ids.ts'
import { buildSchema } from '../../src/graphql/schema.ts'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'
import { startReceiver } from '../support/receiver.ts'

type World = Awaited<ReturnType<typeof world>>
// biome-ignore lint/suspicious/noExplicitAny: whatever a mutation answers
type Payload = any

type Row = {
  /** What makes it succeed. */
  variables(world: World): Promise<object>
  /** Which object the entry must name: the argument `id`, unless the mutation makes something new. */
  select?: string
  object?(payload: Payload): string | null
  /** Variables that are refused with a user error; those with the argument `id` are also tried by another tenant. */
  refused?: object
  /** Whose the entry is, unless it is the default tenant's: that of the object, a tenant itself. */
  tenant?: 'its own'
  /** It belongs to the instance: no tenant has it, and none may change it. */
  everybodys?: true
}

const endpoint: Row = { variables: async ({ newEndpoint }) => ({ id: await newEndpoint() }) }
const failed: Row = { variables: async ({ failedDelivery }) => ({ id: (await failedDelivery()).delivery }) }
const tenant: Row = { variables: async ({ newTenantId }) => ({ id: await newTenantId() }), tenant: 'its own' }
const BODY = { content: { 'application/json': { schema: { type: 'object' } } } }
const OPENAPI = { openapi: '3.1.0', webhooks: { 'order.placed': { post: { requestBody: BODY } } } }
const REPLAY = { select: { deliveries: { states: ['FAILED'] } } }

/** A row for every mutation but those that publish: add one with the mutation. */
const ROWS: Record<string, Row> = {
  endpointCreate: {
    variables: async () => ({ input: { url: 'https://example.com/hook', eventTypes: ['nothing.else'] } }),
    select: 'endpoint { id }',
    object: (payload) => payload.endpoint.id,
    refused: { input: { url: 'nonsense' } },
  },
  endpointUpdate: {
    variables: async ({ newEndpoint }) => ({ id: await newEndpoint(), input: { description: 'changed' } }),
  },
  endpointPause: endpoint,
  endpointResume: endpoint,
  endpointTest: endpoint,
  endpointDelete: endpoint,
  endpointRotateSecret: endpoint,
  endpointRevealSecret: endpoint,
  deliveryRetry: failed,
  deliveryCancel: {
    variables: async ({ pendingDelivery }) => ({ id: await pendingDelivery() }),
  },
  eventExpunge: { variables: async ({ failedDelivery }) => ({ id: (await failedDelivery()).event }) },
  eventRoute: { variables: async ({ failedDelivery }) => ({ id: (await failedDelivery()).event }) },
  eventTypeSave: {
    variables: async () => ({ input: { name: 'invoice.paid', description: 'An invoice was paid.' } }),
    select: 'eventType { id }',
    object: (payload) => payload.eventType.id,
    refused: { input: { name: 'invoice.' } },
    everybodys: true,
  },
  eventTypeArchive: {
    variables: async ({ newEventType }) => ({ id: await newEventType() }),
    refused: { id: 'ety_nonsense' },
    everybodys: true,
  },
  eventTypesImport: {
    variables: async () => ({ document: JSON.stringify(OPENAPI) }),
    object: () => null,
    refused: { document: '{}' },
    everybodys: true,
  },
  replayStart: {
    variables: async ({ failedDelivery }) => {
      await failedDelivery()
      return { input: REPLAY }
    },
    select: 'replay { id }',
    object: (payload) => payload.replay.id,
    refused: { input: { select: { deliveries: { states: [] } } } },
  },
  replayCancel: { variables: async ({ waitingReplay }) => ({ id: await waitingReplay() }) },
  apiKeyCreate: {
    variables: async () => ({ input: { name: 'new', scopes: ['READ'] } }),
    select: 'apiKey { id }',
    object: (payload) => payload.apiKey.id,
    refused: { input: { name: 'new', scopes: [] } },
  },
  apiKeyRevoke: { variables: async ({ newKeyId }) => ({ id: await newKeyId() }) },
  portalSessionCreate: {
    variables: async () => ({ input: { scope: 'READ' } }),
    select: 'portalSession { id }',
    object: (payload) => payload.portalSession.id,
    refused: { input: { scope: 'READ', expiresInSeconds: 1 } },
  },
  portalSessionRevoke: { variables: async ({ newSessionId }) => ({ id: await newSessionId() }) },
  tenantCreate: {
    variables: async () => ({ input: { key: 'brand-new' } }),
    select: 'tenant { id }',
    object: (payload) => payload.tenant.id,
    refused: { input: { key: '*' } },
    tenant: 'its own',
  },
  tenantUpdate: {
    variables: async ({ newTenantId }) => ({ id: await newTenantId(), input: { name: 'changed' } }),
    refused: { id: 'ten_nonsense', input: { name: 'changed' } },
    tenant: 'its own',
  },
  tenantDelete: { ...tenant, refused: { id: 'ten_nonsense' } },
}

// The event is its own record, and there are thousands of them in a second.
const WITHOUT_ENTRY = ['eventPublish', 'eventPublishBatch']

const mutations = buildSchema().getMutationType()?.getFields() ?? {}

test('every mutation has a row, and every row a mutation', () => {
  const named = Object.keys(mutations).filter((name) => !WITHOUT_ENTRY.includes(name))
  expect(Object.keys(ROWS).sort()).toEqual(named.sort())
})

test('each mutation that succeeds leaves exactly one entry, and each that is refused none', async () => {
  const here = await world()
  const foreignKey = await here.newKey({ tenantId: await here.newTenant('other') })
  const reader = await here.newKey({ scopes: ['READ'] })
  for (const [name, row] of Object.entries(ROWS)) {
    const field = mutations[name] as GraphQLField<unknown, unknown>
    const document = documentOf(field, row.select ?? '')
    const variables = await row.variables(here)
    const before = await here.entries()
    const refusals = [
      ...(row.refused ? [[row.refused, here.key] as const] : []),
      ...(field.args.some((arg) => arg.name === 'id') ? [[variables, foreignKey] as const] : []),
    ]
    expect(refusals, name).not.toEqual([])
    for (const [refused, key] of refusals) {
      const { data, errors } = await here.send(document, refused, key)
      if (key === foreignKey && (row.tenant || row.everybodys)) {
        expect(errors, name).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }])
        continue
      }
      expect(errors, name).toBeUndefined()
      expect((data[name] as Payload).userErrors, name).not.toEqual([])
    }
    expect((await here.send(document, variables, reader)).errors, name).toMatchObject([
      { extensions: { code: 'FORBIDDEN' } },
    ])
    expect((await here.send(document, variables, 'prk_nobody')).errors, name).toMatchObject([
      { extensions: { code: 'UNAUTHENTICATED' } },
    ])
    expect(await here.entries(), name).toHaveLength(before.length)

    const { data, errors } = await here.send(document, variables, here.key)
    expect(errors, name).toBeUndefined()
    const payload = data[name] as Payload
    expect(payload.userErrors, name).toEqual([])

    const made = (await here.entries()).slice(before.length)
    const object = row.object ? row.object(payload) : (variables as { id: string }).id
    expect(made, name).toMatchObject([
      {
        action: name.replace(/[A-Z]/g, '_$&').toUpperCase(),
        actor_kind: 'API_KEY',
        actor_id: here.keyId,
        actor_name: 'the actor',
        address: '127.0.0.1',
        tenant_id: tenantOf(row, object, here),
        object,
      },
    ])
  }
}, 60_000)

function tenantOf(row: Row, object: string | null, here: World): string | null {
  if (row.everybodys) return null
  return row.tenant ? parsePublicId('ten', object as string) : here.tenantId
}

/** The call of a mutation with all its arguments as variables, whatever they are. */
function documentOf({ name, args }: GraphQLField<unknown, unknown>, select: string): string {
  const declared = args.map((arg) => `$${arg.name}: ${arg.type}`).join(', ')
  const passed = args.map((arg) => `${arg.name}: $${arg.name}`).join(', ')
  expect(
    args.some(({ type }) => isNonNullType(type)),
    `${name} takes something`,
  ).toBe(true)
  return `mutation (${declared}) { ${name}(${passed}) { ${select} userErrors { code message } } }`
}

const NEW_KEY = 'mutation { apiKeyCreate(input: { name: "one", scopes: [READ] }) { apiKey { id } } }'
const NEW_TYPE = 'mutation { eventTypeSave(input: { name: "order.lost" }) { eventType { id } } }'
const NEW_SESSION = 'mutation { portalSessionCreate(input: { scope: READ }) { portalSession { id } } }'

async function world() {
  const api = await startApi({ worker: true })
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  receiver.answers(500)
  let types = 0
  const key = await api.newKey({ name: 'the actor' })
  const [actor] = await api.db.sql`select id from postrider.api_keys where name = 'the actor'`
  const newDelivery = async (delivery: { state: string; pausedToo?: boolean }) => {
    const type = `type.n${++types}`
    const id = await api.addEndpoint(receiver.url, { eventTypes: [type], retryPolicy: { delaysSeconds: [] } })
    if (delivery.state === 'PENDING') await api.change(id, { state: 'PAUSED' })
    await api.publish(1, type)
    const LIST = `query ($type: String!) { deliveries(filter: { eventTypes: [$type] }) { nodes { id state waitingFor event { id } } } }`
    type Listed = { deliveries: { nodes: { id: string; state: string; event: { id: string } }[] } }
    const [found] = await eventually(async () => {
      const { nodes } = (await api.ask<Listed>(LIST, { type })).deliveries
      expect(nodes).toMatchObject([{ state: delivery.state }])
      return nodes
    })
    if (delivery.pausedToo) await api.change(id, { state: 'PAUSED' })
    return { delivery: String(found?.id), event: String(found?.event.id), type }
  }
  const failedDelivery = () => newDelivery({ state: 'FAILED' })
  return {
    ...api,
    key,
    keyId: String(actor?.id),
    newKeyId: async () => (await api.ask(NEW_KEY)).apiKeyCreate?.apiKey?.id as unknown as string,
    newSessionId: async () => (await api.ask(NEW_SESSION)).portalSessionCreate?.portalSession?.id as unknown as string,
    newEventType: async () => (await api.ask(NEW_TYPE)).eventTypeSave?.eventType?.id as unknown as string,
    newTenantId: async () => publicId('ten', await api.newTenant(`tenant-${++types}`)),
    newEndpoint: async () => publicId('ep', await api.addEndpoint(receiver.url, { eventTypes: ['nothing.else'] })),
    failedDelivery,
    pendingDelivery: async () => (await newDelivery({ state: 'PENDING' })).delivery,
    /** Handed over to a paused endpoint: it waits there, and can be cancelled. */
    waitingReplay: async () => {
      const { type } = await newDelivery({ state: 'FAILED', pausedToo: true })
      const { replayStart } = await api.ask<{ replayStart: { replay: { id: string } } }>(
        `mutation ($type: String!) { replayStart(input: { select: { deliveries: { eventTypes: [$type] } } }) { replay { id } } }`,
        { type },
      )
      return replayStart.replay.id
    },
    entries: () => api.db.sql`select * from postrider.audit_log order by id`,
  }
}
