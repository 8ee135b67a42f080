/**
 * Who may do what: a row for each field of Query, Mutation and Subscription, and for each kind of node. A field without a row
 * fails the test, and a row without a field. To add one, say what it takes:
 *
 *   'Mutation.endpointPause': { needs: 'MANAGE', id: 'endpoint' },
 *
 * `id`: what its argument `id` names. Other arguments that are required are made up from the schema; where those will not do,
 * `args` has them. Arguments that name ids or tenants are found in the schema, too, and tried with another tenant's.
 */

/** What it takes. ADMIN is that of its tenant, or of all of them; INSTANCE is ADMIN with a key that is bound to no tenant. */
export type Needs = 'ANY' | 'PUBLISH' | 'READ' | 'MANAGE' | 'ADMIN' | 'INSTANCE'

/** What there is one of, in each tenant. */
export type Kind =
  | 'tenant'
  | 'apiKey'
  | 'portalSession'
  | 'endpoint'
  | 'eventType'
  | 'event'
  | 'delivery'
  | 'attempt'
  | 'replay'
  | 'secret'
  | 'signingKey'
  | 'auditEntry'

export type Row = { needs: Needs; id?: Kind; args?: Record<string, unknown> }

export const FIELDS: Record<string, Row> = {
  'Query.apiKeys': { needs: 'ADMIN' },
  'Query.attempts': { needs: 'READ' },
  'Query.auditLog': { needs: 'ADMIN' },
  'Query.deliveries': { needs: 'READ' },
  'Query.delivery': { needs: 'READ', id: 'delivery' },
  'Query.endpoint': { needs: 'READ', id: 'endpoint' },
  'Query.endpoints': { needs: 'READ' },
  'Query.event': { needs: 'READ', id: 'event' },
  'Query.eventType': { needs: 'ANY', args: { name: 'everybodys.type' } },
  'Query.eventTypes': { needs: 'ANY' },
  'Query.events': { needs: 'READ' },
  'Query.feedCursor': { needs: 'READ' },
  'Query.node': { needs: 'READ', id: 'endpoint' },
  'Query.portalSessions': { needs: 'ADMIN' },
  'Query.replay': { needs: 'READ', id: 'replay' },
  'Query.replayPreview': { needs: 'READ', args: { input: { select: { deliveries: {} } } } },
  'Query.replays': { needs: 'READ' },
  'Query.routingExplain': { needs: 'READ', args: { event: { type: 'a', payload: 1 } } },
  'Query.tenant': { needs: 'READ', id: 'tenant' },
  'Query.tenants': { needs: 'ADMIN' },
  'Query.viewer': { needs: 'ANY' },

  'Mutation.apiKeyCreate': { needs: 'ADMIN', args: { input: { name: 'one', scopes: ['READ'] } } },
  'Mutation.apiKeyRevoke': { needs: 'ADMIN', id: 'apiKey' },
  'Mutation.deliveryCancel': { needs: 'MANAGE', id: 'delivery' },
  'Mutation.deliveryRetry': { needs: 'MANAGE', id: 'delivery' },
  'Mutation.endpointCreate': { needs: 'MANAGE', args: { input: { url: 'https://example.com' } } },
  'Mutation.endpointDelete': { needs: 'MANAGE', id: 'endpoint' },
  'Mutation.endpointPause': { needs: 'MANAGE', id: 'endpoint' },
  'Mutation.endpointResume': { needs: 'MANAGE', id: 'endpoint' },
  'Mutation.endpointRevealSecret': { needs: 'MANAGE', id: 'endpoint' },
  'Mutation.endpointRotateSecret': { needs: 'MANAGE', id: 'endpoint' },
  'Mutation.endpointTest': { needs: 'MANAGE', id: 'endpoint' },
  'Mutation.endpointUpdate': { needs: 'MANAGE', id: 'endpoint', args: { input: { description: 'mine' } } },
  'Mutation.eventExpunge': { needs: 'MANAGE', id: 'event' },
  'Mutation.eventPublish': { needs: 'PUBLISH', args: { input: { type: 'a', payload: 1 } } },
  'Mutation.eventTypeArchive': { needs: 'INSTANCE', id: 'eventType' },
  'Mutation.eventTypeSave': { needs: 'INSTANCE', args: { input: { name: 'a.b' } } },
  'Mutation.eventTypesImport': { needs: 'INSTANCE', args: { document: '{"openapi":"3.1.0","webhooks":{"a.b":{}}}' } },
  'Mutation.eventPublishBatch': { needs: 'PUBLISH', args: { events: [{ type: 'a', payload: 1 }] } },
  'Mutation.eventRoute': { needs: 'MANAGE', id: 'event' },
  'Mutation.portalSessionCreate': { needs: 'ADMIN' },
  'Mutation.portalSessionRevoke': { needs: 'ADMIN', id: 'portalSession' },
  'Mutation.replayCancel': { needs: 'MANAGE', id: 'replay' },
  'Mutation.replayStart': { needs: 'MANAGE', args: { input: { select: { deliveries: { states: ['FAILED'] } } } } },
  'Mutation.tenantCreate': { needs: 'INSTANCE' },
  'Mutation.tenantDelete': { needs: 'INSTANCE', id: 'tenant' },
  'Mutation.tenantUpdate': { needs: 'INSTANCE', id: 'tenant', args: { input: { name: 'Acme' } } },

  'Subscription.deliveryAttempts': { needs: 'READ' },
  'Subscription.replayProgress': { needs: 'READ', id: 'replay' },
}

/** What it takes to see an object by its id with `node`. Who may use `node`, and not this, is answered as for an absent one. */
export const NODES: Record<
  string,
  Required<Pick<Row, 'needs' | 'id'>> & { /** Of no tenant: foreign to nobody. */ everybodys?: true }
> = {
  ApiKey: { needs: 'ADMIN', id: 'apiKey' },
  Attempt: { needs: 'READ', id: 'attempt' },
  AuditEntry: { needs: 'ADMIN', id: 'auditEntry' },
  Delivery: { needs: 'READ', id: 'delivery' },
  Endpoint: { needs: 'READ', id: 'endpoint' },
  EventType: { needs: 'READ', id: 'eventType', everybodys: true },
  Event: { needs: 'READ', id: 'event' },
  PortalSession: { needs: 'ADMIN', id: 'portalSession' },
  Replay: { needs: 'READ', id: 'replay' },
  Secret: { needs: 'READ', id: 'secret' },
  SigningKey: { needs: 'READ', id: 'signingKey' },
  Tenant: { needs: 'READ', id: 'tenant' },
}

/** What each credential is good for; null: nobody is let in with it. The tenants are `acme`, whose objects are asked for, and `other`. */
export const CREDENTIALS = {
  'no credential': null,
  'an expired key': null,
  'a revoked key': null,
  'an expired portal session': null,
  'a revoked portal session': null,
  'a session of a revoked key': null,
  'a key of a deleted tenant': null,
  'a session of a deleted tenant': null,
  PUBLISH: ['ANY', 'PUBLISH'],
  READ: ['ANY', 'READ'],
  MANAGE: ['ANY', 'READ', 'MANAGE'],
  ADMIN: ['ANY', 'PUBLISH', 'READ', 'MANAGE', 'ADMIN', 'INSTANCE'],
  'PUBLISH of acme': ['ANY', 'PUBLISH'],
  'READ of acme': ['ANY', 'READ'],
  'MANAGE of acme': ['ANY', 'READ', 'MANAGE'],
  'ADMIN of acme': ['ANY', 'PUBLISH', 'READ', 'MANAGE', 'ADMIN'],
  'portal session READ of acme': ['ANY', 'READ'],
  'portal session MANAGE of acme': ['ANY', 'READ', 'MANAGE'],
  'PUBLISH and MANAGE of other': ['ANY', 'PUBLISH', 'READ', 'MANAGE'],
  'ADMIN of other': ['ANY', 'PUBLISH', 'READ', 'MANAGE', 'ADMIN'],
  'portal session MANAGE of other': ['ANY', 'READ', 'MANAGE'],
} as const satisfies Record<string, readonly Needs[] | null>

export type Credential = keyof typeof CREDENTIALS

/** Whether its holder cannot see what is acme's. */
export const isForeign = (credential: Credential) => credential.endsWith('of other')
