import { prefixOf } from '../../schema/ids.ts'
import { builder } from './builder.ts'
import type { Context } from './context.ts'
import { find } from './loaders.ts'
import { NodeRef } from './refs.ts'

builder.queryField('node', (t) =>
  t.field({
    type: NodeRef,
    nullable: true,
    description:
      'The object with this id, whatever kind it is; null when there is none, when it belongs to another tenant, or when it is of a kind that takes ADMIN to see.',
    authScopes: { read: true },
    args: {
      id: t.arg.id({
        required: true,
        description:
          'Any id of this API: `ten_…`, `ep_…`, `evt_…`, `dlv_…`, `att_…`, `rpl_…`, `sec_…`, `sik_…` or `ety_…`; with ADMIN also `key_…`, `pts_…` and `aud_…`.',
      }),
    },
    resolve: (_, { id }, context) => findNode(context, id),
  }),
)

async function findNode({ loaders }: Context, id: string): Promise<object | null> {
  switch (prefixOf(id)) {
    case 'ten':
      return named('Tenant', await find(loaders.tenant, 'ten', id))
    case 'key':
      return named('ApiKey', await find(loaders.apiKey, 'key', id))
    case 'pts':
      return named('PortalSession', await find(loaders.portalSession, 'pts', id))
    case 'ep':
      return named('Endpoint', await find(loaders.endpoint, 'ep', id))
    case 'ety':
      return named('EventType', await find(loaders.eventType, 'ety', id))
    case 'evt':
      return named('Event', await find(loaders.event, 'evt', id))
    case 'dlv':
      return named('Delivery', await find(loaders.delivery, 'dlv', id))
    case 'att':
      return named('Attempt', await find(loaders.attempt, 'att', id))
    case 'rpl':
      return named('Replay', await find(loaders.replay, 'rpl', id))
    case 'sec':
      return named('Secret', await find(loaders.secret, 'sec', id))
    case 'sik':
      return named('SigningKey', await find(loaders.signingKey, 'sik', id))
    case 'aud':
      return named('AuditEntry', await find(loaders.auditEntry, 'aud', id))
    default:
      return null
  }
}

/** By its name GraphQL tells which type a node is. */
function named(typename: string, row: object | null): object | null {
  return row === null ? null : { ...row, __typename: typename }
}
