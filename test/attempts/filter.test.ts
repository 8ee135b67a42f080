import { describe, expect, test } from 'vitest'
import {
  type AttemptId,
  type DeliveryId,
  type EndpointId,
  type EventId,
  newId,
  publicId,
  type TenantId,
} from '../../schema/ids.ts'
import { ATTEMPT_ERROR_CLASSES } from '../../schema/outcomes.ts'
import { attempts } from '../../schema/tables/attempts.ts'
import { type AttemptFilterInput, matches, readAttemptFilter } from '../../src/attempts/filter.ts'
import { type Attempt, listAttempts } from '../../src/attempts/find.ts'
import { readPage } from '../../src/postgres/keyset.ts'
import { openDatabase } from '../support/database.ts'

const BASE = Date.now()
const random = seeded(7)
const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T
const some = <T>(values: readonly T[]): T[] => [...new Set([pick(values), pick(values)])]
const maybe = <T>(make: () => T): T | undefined => (random() < 0.3 ? make() : undefined)

const TENANT = newId<'ten'>(new Date(BASE)) as TenantId
const OTHER = newId<'ten'>(new Date(BASE)) as TenantId
const ENDPOINTS = [1, 2, 3].map(() => newId<'ep'>(new Date(BASE)) as EndpointId)
const EVENTS = [1, 2, 3, 4].map(() => newId<'evt'>(new Date(BASE - 1000)) as EventId)
const DELIVERIES = [1, 2, 3, 4].map(() => newId<'dlv'>(new Date(BASE - 1000)) as DeliveryId)
const TYPES = ['invoice', 'invoice.paid', 'invoice.paid.late', 'in_oice.paid', 'order.sent', 'endpoint.disabled']
const PATTERNS = [...TYPES, 'invoice.*', 'invoice.paid.*', 'in_oice.*', 'endpoint.*', '*']
const STATUSES = [200, 204, 410, 500, 503]

test('the list and the live feed mean the same by a filter', async () => {
  const { orm } = await openDatabase()
  const rows = Array.from({ length: 150 }, (_, index) => anAttempt(index))
  await orm.insert(attempts).values(rows)

  for (let round = 0; round < 200; round++) {
    const input = aFilter()
    const filter = readAttemptFilter(input)
    const expected = rows.filter((row) => row.tenantId === TENANT && matches(filter, row)).map((row) => row.id)
    const page = await listAttempts(orm, TENANT, filter, readPage({ first: 100 }))
    const found = page.edges.map(({ node }) => node.id)
    expect(found, JSON.stringify(input)).toEqual(expected.sort().reverse().slice(0, 100))
  }
})

describe('a filter that cannot be used is refused', () => {
  test.each([
    [{ endpointIds: ['evt_01k0000000e0080000000000000'] }, ['filter', 'endpointIds', '0']],
    [{ eventIds: [] }, ['filter', 'eventIds']],
    [{ deliveryIds: ['nonsense'] }, ['filter', 'deliveryIds', '0']],
    [{ eventTypes: ['a', 'b c'] }, ['filter', 'eventTypes', '1']],
    [{ statusCodes: [200, 99] }, ['filter', 'statusCodes', '1']],
    [{ statusCodes: Array(101).fill(200) }, ['filter', 'statusCodes']],
    [{ since: new Date(5), until: new Date(5) }, ['filter', 'until']],
  ] as [AttemptFilterInput, string[]][])('%j', (input, path) => {
    expect(() => readAttemptFilter(input)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT', path }))
  })
})

function anAttempt(index: number): Attempt {
  const succeeded = random() < 0.4
  const status = succeeded ? 200 : pick([...STATUSES.slice(2), null])
  return {
    id: newId<'att'>(new Date(BASE + index * 10)) as AttemptId,
    tenantId: random() < 0.8 ? TENANT : OTHER,
    deliveryId: pick(DELIVERIES),
    eventId: pick(EVENTS),
    endpointId: pick(ENDPOINTS),
    format: 'ENVELOPE',
    eventType: pick(TYPES),
    position: index + 1,
    number: 1,
    trigger: 'SCHEDULE',
    durationMs: 5,
    succeeded,
    errorClass: succeeded ? null : status === null ? pick(ATTEMPT_ERROR_CLASSES) : 'HTTP_STATUS',
    errorMessage: null,
    method: 'POST',
    url: 'https://example.com/',
    requestHeaders: '[]',
    requestBytes: 2,
    status,
    responseHeaders: null,
    responseBytes: null,
    responseTruncated: false,
    remoteAddress: null,
    reusedSocket: false,
    dnsMs: null,
    connectMs: null,
    tlsMs: null,
    firstByteMs: null,
  }
}

function aFilter(): AttemptFilterInput {
  const since = maybe(() => new Date(BASE + Math.floor(random() * 1000)))
  return {
    endpointIds: maybe(() => some(ENDPOINTS).map((id) => publicId('ep', id))),
    eventIds: maybe(() => some(EVENTS).map((id) => publicId('evt', id))),
    deliveryIds: maybe(() => some(DELIVERIES).map((id) => publicId('dlv', id))),
    eventTypes: maybe(() => some(PATTERNS)),
    succeeded: maybe(() => random() < 0.5),
    errorClasses: maybe(() => some(ATTEMPT_ERROR_CLASSES)),
    statusCodes: maybe(() => some(STATUSES)),
    since,
    until: maybe(() => new Date((since?.getTime() ?? BASE) + 10 + Math.floor(random() * 1000))),
  }
}

/** Mulberry32: a failure comes again. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
