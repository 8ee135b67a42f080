import { type GraphQLSchema, lexicographicSortSchema, printSchema } from 'graphql'
import './attempts.ts'
import './deliveries.ts'
import './endpoint-credentials.ts'
import './endpoint-mutations.ts'
import './endpoints.ts'
import './events.ts'
import './feed.ts'
import './node.ts'
import './replays.ts'
import './scalars.ts'
import './tenants.ts'
import './viewer.ts'
import { builder } from './builder.ts'

builder.queryType({ description: 'Reading: needs an API key with the scope READ; for `viewer` any key will do.' })
builder.mutationType({
  description:
    'Operations that change something. Each returns what it changed, and `userErrors` when the call was mistaken.',
})
builder.subscriptionType({ description: 'Following what happens.' })

/** The whole API. Building it fails when an entrance to it says nothing about who may use it. */
export function buildSchema(): GraphQLSchema {
  const schema = builder.toSchema()
  for (const type of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]) {
    for (const field of Object.values(type?.getFields() ?? {})) {
      const options = field.extensions.pothosOptions as { authScopes?: object } | undefined
      if (options?.authScopes === undefined) throw new Error(`${type?.name}.${field.name} declares no scope`)
    }
  }
  return schema
}

/** The API as text, sorted: committed as schema/schema.graphql. */
export function printedSchema(): string {
  return `${printSchema(lexicographicSortSchema(buildSchema()))}\n`
}
