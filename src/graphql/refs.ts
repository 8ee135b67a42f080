import type { Attempt } from '../attempts/find.ts'
import type { AuditEntry } from '../audit/find.ts'
import type { Delivery } from '../deliveries/find.ts'
import type { Endpoint } from '../endpoints/find.ts'
import type { Secret } from '../endpoints/secrets.ts'
import type { SigningKey } from '../endpoints/signing-keys.ts'
import type { EventType } from '../event-types/find.ts'
import type { Event } from '../events/find.ts'
import type { Replay } from '../replays/find.ts'
import type { Tenant } from '../tenants/find.ts'
import { builder } from './builder.ts'
import { listOf } from './lists.ts'

/** The objects of the API and their lists, declared before their fields because they point to each other. */

export const NodeRef = builder.nodeInterfaceRef()

export const TenantRef = builder.objectRef<Tenant>('Tenant')
export const EndpointRef = builder.objectRef<Endpoint>('Endpoint')
export const EventTypeRef = builder.objectRef<EventType>('EventType')
export const EventRef = builder.objectRef<Event>('Event')
export const DeliveryRef = builder.objectRef<Delivery>('Delivery')
export const AttemptRef = builder.objectRef<Attempt>('Attempt')
export const ReplayRef = builder.objectRef<Replay>('Replay')
export const SecretRef = builder.objectRef<Secret>('Secret')
export const SigningKeyRef = builder.objectRef<SigningKey>('SigningKey')
export const AuditEntryRef = builder.objectRef<AuditEntry>('AuditEntry')

export const EndpointConnection = listOf(EndpointRef, 'endpoints', 'An endpoint')

export const EventConnection = listOf(EventRef, 'events', 'An event')

export const DeliveryConnection = listOf(DeliveryRef, 'deliveries', 'A delivery')

export const ReplayConnection = listOf(ReplayRef, 'replays', 'A replay')

export const AttemptConnection = builder.connectionObject(
  {
    type: AttemptRef,
    name: 'AttemptConnection',
    description: 'A page of attempts, newest first.',
    fields: (t) => ({
      feedCursor: t.string({
        description:
          'A cursor of the live feed, taken before the page was read: `deliveryAttempts(after:)` with it misses nothing that came after.',
        resolve: (page) => (page as unknown as { feedCursor: string }).feedCursor,
      }),
    }),
  },
  { name: 'AttemptEdge', description: 'An attempt and where it stands in its list.' },
)

export const AuditEntryConnection = builder.connectionObject(
  { type: AuditEntryRef, name: 'AuditEntryConnection', description: 'A page of the audit log, newest first.' },
  { name: 'AuditEntryEdge', description: 'An entry and where it stands in the log.' },
)
