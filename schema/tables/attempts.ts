import { bigint, boolean, check, index, integer, real, smallint, text } from 'drizzle-orm/pg-core'
import { ATTEMPT_ERROR_CLASSES, type AttemptErrorClass } from '../outcomes.ts'
import { ATTEMPT_TRIGGERS, type AttemptTrigger, type HttpMethod, type PayloadFormat } from '../states.ts'
import { bytes, id, oneOf, postrider } from './postrider.ts'

/** Where `position` comes from: read under an advisory lock that is held to the commit. */
export const attemptPositions = postrider.sequence('attempt_positions')

/** One HTTP request for one delivery. Partitioned by day over `id`, whose time is when the attempt started. */
export const attempts = postrider.table(
  'attempts',
  {
    id: id<'att'>('id').primaryKey(),
    tenantId: id<'ten'>('tenant_id').notNull(),
    deliveryId: id<'dlv'>('delivery_id').notNull(),
    eventId: id<'evt'>('event_id').notNull(),
    endpointId: id<'ep'>('endpoint_id').notNull(),
    eventType: text('event_type').notNull(),
    /** Given in the order of commits: the feed's cursor. */
    position: bigint('position', { mode: 'number' }).notNull(),
    number: integer('number').notNull(),
    trigger: text('trigger').$type<AttemptTrigger>().notNull(),
    durationMs: integer('duration_ms').notNull(),
    succeeded: boolean('succeeded').notNull(),
    errorClass: text('error_class').$type<AttemptErrorClass>(),
    errorMessage: text('error_message'),
    method: text('method').$type<HttpMethod>().notNull(),
    url: text('url').notNull(),
    /** How the body was made; it is not kept: with this it follows from the event, byte for byte. */
    format: text('format').$type<PayloadFormat>().notNull().default('ENVELOPE'),
    /** JSON: a list of [name, value], as sent. */
    requestHeaders: text('request_headers').notNull(),
    requestBytes: integer('request_bytes').notNull(),
    status: smallint('status'),
    /** JSON: a list of [name, value], as received. */
    responseHeaders: text('response_headers'),
    responseBytes: integer('response_bytes'),
    responseTruncated: boolean('response_truncated').notNull().default(false),
    remoteAddress: text('remote_address'),
    reusedSocket: boolean('reused_socket').notNull().default(false),
    dnsMs: real('dns_ms'),
    connectMs: real('connect_ms'),
    tlsMs: real('tls_ms'),
    firstByteMs: real('first_byte_ms'),
  },
  (table) => [
    index('attempts_in_order').on(table.position),
    index('attempts_of_tenant').on(table.tenantId, table.id),
    index('attempts_of_endpoint').on(table.endpointId, table.id),
    index('attempts_of_delivery').on(table.deliveryId, table.id),
    check('attempts_trigger', oneOf(table.trigger, ATTEMPT_TRIGGERS)),
    check('attempts_error_class', oneOf(table.errorClass, ATTEMPT_ERROR_CLASSES)),
  ],
)

/** What of a response's body was kept, where there was one. Partitioned like `attempts`, so that it may be dropped sooner. */
export const attemptBodies = postrider.table('attempt_bodies', {
  id: id<'att'>('id').primaryKey(),
  body: bytes('body').notNull(),
})
