import { getNamedType, isIntrospectionType, isObjectType } from 'graphql'
import { expect, onTestFinished, test, vi } from 'vitest'
import { buildSchema } from '../../src/graphql/schema.ts'

const schema = buildSchema()
const types = Object.values(schema.getTypeMap()).filter((type) => !isIntrospectionType(type))

test('every mutation answers with user errors', () => {
  for (const field of Object.values(schema.getMutationType()?.getFields() ?? {})) {
    const payload = getNamedType(field.type)
    expect(isObjectType(payload) && payload.getFields().userErrors?.type.toString(), field.name).toBe('[UserError!]!')
    expect(payload.name).toBe(`${field.name[0]?.toUpperCase()}${field.name.slice(1)}Payload`)
  }
})

test('connections are plainly named and hold their nodes beside their edges', () => {
  const connections = types.filter((type) => type.name.endsWith('Connection')).map((type) => type.name)
  expect(connections.sort()).toEqual([
    'ApiKeyConnection',
    'AttemptConnection',
    'AuditEntryConnection',
    'DeliveryConnection',
    'EndpointConnection',
    'EventConnection',
    'EventTypeConnection',
    'PortalSessionConnection',
    'ReplayConnection',
    'TenantConnection',
  ])
  const fields = schema.getType('EventConnection')
  expect(
    isObjectType(fields) && Object.values(fields.getFields()).map((field) => `${field.name}: ${field.type}`),
  ).toEqual(['edges: [EventEdge!]!', 'nodes: [Event!]!', 'pageInfo: PageInfo!'])
})

// With modules of their own: the fields stay, and other files of this worker build schemas, too.
async function freshSchema() {
  vi.resetModules()
  onTestFinished(() => void vi.resetModules())
  const { builder } = await import('../../src/graphql/builder.ts')
  return { builder, ...(await import('../../src/graphql/schema.ts')) }
}

test('the schema cannot be built with an entrance that declares an empty scope', async () => {
  const { builder, buildSchema } = await freshSchema()
  builder.subscriptionField('ajar', (t) =>
    t.boolean({ description: 'For this test.', authScopes: {}, subscribe: () => [] as never, resolve: () => true }),
  )
  expect(() => buildSchema()).toThrow(
    'Subscription.ajar declares no scope: give it authScopes with one of publish, read',
  )
})

test('the schema cannot be built with an entrance that declares no scope', async () => {
  const { builder, buildSchema } = await freshSchema()
  builder.queryField('unguarded', (t) => t.boolean({ description: 'For this test.', resolve: () => true }))
  expect(() => buildSchema()).toThrow('Query.unguarded declares no scope')
})
