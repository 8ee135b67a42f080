import { type GraphQLSchema, lexicographicSortSchema, printSchema } from 'graphql'
import './api-keys.ts'
import './attempts.ts'
import './audit-log.ts'
import './deliveries.ts'
import './endpoint-credentials.ts'
import './endpoint-mutations.ts'
import './endpoint-secrets.ts'
import './endpoint-signing.ts'
import './endpoints.ts'
import './event-type-mutations.ts'
import './event-types.ts'
import './events.ts'
import './feed.ts'
import './node.ts'
import './portal-sessions.ts'
import './replays.ts'
import './routing.ts'
import './scalars.ts'
import './tenants.ts'
import './viewer.ts'
import { builder, SCOPES_OF_FIELDS, scopesOf } from './builder.ts'

builder.queryType({
  description:
    'Reading: needs the scope READ; ADMIN for credentials and the list of tenants. For `viewer` and the catalogue of event types any credential will do.',
})
builder.mutationType({
  description:
    'Operations that change something. Each returns what it changed, and `userErrors` when the call was mistaken.',
})
builder.subscriptionType({ description: 'Following what happens.' })

/** The whole API. Building it fails when an entrance to it does not say who may use it. */
export function buildSchema(): GraphQLSchema {
  const schema = builder.toSchema()
  for (const type of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]) {
    for (const field of Object.values(type?.getFields() ?? {})) {
      if (scopesOf(field).length > 0) continue
      const known = Object.keys(SCOPES_OF_FIELDS).join(', ')
      throw new Error(`${type?.name}.${field.name} declares no scope: give it authScopes with one of ${known}`)
    }
  }
  return schema
}

/** The API as text, sorted: committed as schema/schema.graphql. */
export function printedSchema(): string {
  return `${printSchema(lexicographicSortSchema(buildSchema()))}\n`
}
