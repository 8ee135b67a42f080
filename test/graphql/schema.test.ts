import { getNamedType, isIntrospectionType, isObjectType } from 'graphql'
import { expect, test } from 'vitest'
import { builder } from '../../src/graphql/builder.ts'
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
    'AttemptConnection',
    'AuditEntryConnection',
    'DeliveryConnection',
    'EndpointConnection',
    'EventConnection',
    'ReplayConnection',
  ])
  const fields = schema.getType('EventConnection')
  expect(
    isObjectType(fields) && Object.values(fields.getFields()).map((field) => `${field.name}: ${field.type}`),
  ).toEqual(['edges: [EventEdge!]!', 'nodes: [Event!]!', 'pageInfo: PageInfo!'])
})

// The last test: the field stays.
test('the schema cannot be built with an entrance that declares no scope', () => {
  builder.queryField('unguarded', (t) => t.boolean({ description: 'For this test.', resolve: () => true }))
  expect(() => buildSchema()).toThrow('Query.unguarded declares no scope')
})
