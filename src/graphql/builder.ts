import SchemaBuilder from '@pothos/core'
import RelayPlugin from '@pothos/plugin-relay'
import ScopeAuthPlugin from '@pothos/plugin-scope-auth'
import { isInstanceAdmin, may, type Viewer } from '../tenants/access.ts'
import type { Context } from './context.ts'
import { forbidden } from './errors.ts'

type Types = {
  Context: Context
  Scalars: {
    ID: { Input: string; Output: string }
    DateTime: { Input: Date; Output: Date }
    JSON: { Input: unknown; Output: unknown }
  }
  AuthScopes: Record<keyof typeof SCOPES_OF_FIELDS, boolean>
  DefaultFieldNullability: false
  DefaultEdgesNullability: { list: false; items: false }
  DefaultNodeNullability: false
}

/**
 * What a field may demand of whoever uses it, and how that is said to those who may not: `authScopes: { manage: true }`. Of
 * several, one is enough.
 */
export const SCOPES_OF_FIELDS = {
  publish: { allows: (viewer: Viewer) => may(viewer, 'PUBLISH'), wording: 'PUBLISH' },
  read: { allows: (viewer: Viewer) => may(viewer, 'READ'), wording: 'READ' },
  manage: { allows: (viewer: Viewer) => may(viewer, 'MANAGE'), wording: 'MANAGE' },
  admin: { allows: (viewer: Viewer) => may(viewer, 'ADMIN'), wording: 'ADMIN' },
  instanceAdmin: { allows: isInstanceAdmin, wording: 'ADMIN of an instance-wide key' },
  // Every caller, whatever it may do.
  any: { allows: () => true, wording: 'of any kind' },
} as const
type FieldScope = keyof typeof SCOPES_OF_FIELDS

const page = (order: string) => ({ description: `Used with \`last\`: the page ends before this cursor, ${order}.` })

/** Where every type and field of the API is declared. */
export const builder = new SchemaBuilder<Types>({
  plugins: [ScopeAuthPlugin, RelayPlugin],
  defaultFieldNullability: false,
  scopeAuth: {
    authorizeOnSubscribe: true,
    authScopes: ({ viewer }) => allowedTo(viewer),
    unauthorizedError: (_parent, _context, info) => {
      const field = info.parentType.getFields()[info.fieldName]
      return forbidden(
        info.fieldName,
        (field ? scopesOf(field) : []).map((scope) => SCOPES_OF_FIELDS[scope].wording),
      )
    },
  },
  relay: {
    nodeQueryOptions: false,
    nodesQueryOptions: false,
    nodeTypeOptions: { description: 'Everything that has an id. `node` finds it by that id alone.' },
    idFieldOptions: {
      description: 'The prefixed id, like `evt_01kb6z3q5wf8vtr2c9h4m7n0pd`: unique over all kinds of objects.',
    },
    pageInfoTypeOptions: { description: 'Where a page of a list begins and ends, and whether there is more.' },
    hasNextPageFieldOptions: { description: 'Whether there are entries after this page.' },
    hasPreviousPageFieldOptions: { description: 'Whether there are entries before this page.' },
    startCursorFieldOptions: { description: 'The cursor of the first entry; null on an empty page.' },
    endCursorFieldOptions: {
      description: 'The cursor of the last entry, for `after` of the next page; null on an empty page.',
    },
    cursorFieldOptions: { description: 'Where this entry stands in the list; for `after` and `before`.' },
    edgesFieldOptions: { description: 'The entries with their cursors.', nullable: { list: false, items: false } },
    nodeFieldOptions: { description: 'The entry itself.', nullable: false },
    nodesOnConnection: { description: 'The entries without their cursors.' },
    pageInfoFieldOptions: { description: 'How to go on reading.', nullable: false },
    firstArgOptions: {
      description: 'How many entries from the beginning: 0 to 100, 20 when neither `first` nor `last` is given.',
    },
    afterArgOptions: { description: 'Begin after this cursor, the `endCursor` of the page before.' },
    lastArgOptions: { description: 'How many entries from the end: 0 to 100. Not together with `first`.' },
    beforeArgOptions: page('the `startCursor` of the page after it'),
  },
})

/** What Pothos makes of `Types`. */
export type ApiTypes = typeof builder extends PothosSchemaTypes.SchemaBuilder<infer All> ? All : never

function allowedTo(viewer: Viewer): Record<FieldScope, boolean> {
  const entries = Object.entries(SCOPES_OF_FIELDS).map(([scope, { allows }]) => [scope, allows(viewer)])
  return Object.fromEntries(entries)
}

type Field = { extensions: { pothosOptions?: unknown } }

/** The scopes of which a field demands one; none where it declares nothing that is known. */
export function scopesOf({ extensions }: Field): FieldScope[] {
  const { authScopes } = (extensions.pothosOptions ?? {}) as { authScopes?: unknown }
  if (typeof authScopes !== 'object' || authScopes === null) return []
  return Object.entries(authScopes).flatMap(([name, needed]) =>
    needed === true && Object.hasOwn(SCOPES_OF_FIELDS, name) ? [name as FieldScope] : [],
  )
}

/** Whether somebody may use a field that declares its scope. */
export function mayUse(viewer: Viewer, field: Field): boolean {
  return scopesOf(field).some((scope) => SCOPES_OF_FIELDS[scope].allows(viewer))
}
