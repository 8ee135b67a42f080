import type { ObjectRef } from '@pothos/core'
import { type ApiTypes, builder } from './builder.ts'

/** How a list names the tenant that it is of. */
export const WHOSE = 'The tenant’s key. Absent: the API key’s own, or `default`. Instance-wide ADMIN: `*` for all.'

/** The pages of a list: `listOf(EventRef, 'events', 'An event')`. */
export function listOf<Row>(type: ObjectRef<ApiTypes, Row>, plural: string, one: string) {
  return builder.connectionObject(
    { type, name: `${type.name}Connection`, description: `A page of ${plural}, newest first.` },
    { name: `${type.name}Edge`, description: `${one} and where it stands in its list.` },
  )
}
