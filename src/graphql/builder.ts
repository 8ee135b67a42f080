import SchemaBuilder from '@pothos/core'
import RelayPlugin from '@pothos/plugin-relay'
import ScopeAuthPlugin from '@pothos/plugin-scope-auth'
import type { Scope } from '../../schema/states.ts'
import { may } from '../tenants/access.ts'
import type { Context } from './context.ts'
import { forbidden } from './errors.ts'

type Types = {
  Context: Context
  Scalars: {
    ID: { Input: string; Output: string }
    DateTime: { Input: Date; Output: Date }
    JSON: { Input: unknown; Output: unknown }
  }
  AuthScopes: { publish: boolean; read: boolean; manage: boolean; admin: boolean; any: boolean }
  DefaultFieldNullability: false
  DefaultEdgesNullability: { list: false; items: false }
  DefaultNodeNullability: false
}

const page = (order: string) => ({ description: `Used with \`last\`: the page ends before this cursor, ${order}.` })

/** Where every type and field of the API is declared. */
export const builder = new SchemaBuilder<Types>({
  plugins: [ScopeAuthPlugin, RelayPlugin],
  defaultFieldNullability: false,
  scopeAuth: {
    authorizeOnSubscribe: true,
    authScopes: ({ viewer }) => ({
      publish: () => may(viewer, 'PUBLISH'),
      read: () => may(viewer, 'READ'),
      manage: () => may(viewer, 'MANAGE'),
      admin: () => may(viewer, 'ADMIN'),
      // Every valid key, whatever it may do.
      any: true,
    }),
    unauthorizedError: (_parent, _context, info) => forbidden(info.fieldName, scopesOf(info)),
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

/** Fields declare the scope they need under the lower case name of it. */
function scopesOf(info: {
  parentType: { getFields(): Record<string, { extensions: { pothosOptions?: unknown } }> }
  fieldName: string
}): Scope[] {
  const options = info.parentType.getFields()[info.fieldName]?.extensions.pothosOptions as
    | { authScopes?: object }
    | undefined
  return Object.keys(options?.authScopes ?? {}).map((name) => name.toUpperCase() as Scope)
}
