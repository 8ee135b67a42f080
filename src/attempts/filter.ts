import { type DeliveryId, type EndpointId, type EventId, timeOf } from '../../schema/ids.ts'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import type { attempts } from '../../schema/tables/attempts.ts'
import { matchesPattern, readPatterns } from '../endpoints/matching.ts'
import {
  type NumberRange,
  type Optional,
  readIds,
  readList,
  readTimeRange,
  readWhole,
  type TimeRange,
  type TimeRangeInput,
} from '../input.ts'

export type AttemptFilterInput = TimeRangeInput & {
  endpointIds?: Optional<readonly string[]>
  eventIds?: Optional<readonly string[]>
  deliveryIds?: Optional<readonly string[]>
  eventTypes?: Optional<readonly string[]>
  succeeded?: Optional<boolean>
  errorClasses?: Optional<readonly AttemptErrorClass[]>
  statusCodes?: Optional<readonly number[]>
}

/** AND between fields, OR inside; null: any. The list and the live feed mean the same by it. */
export type AttemptFilter = TimeRange & {
  endpointIds: readonly EndpointId[] | null
  eventIds: readonly EventId[] | null
  deliveryIds: readonly DeliveryId[] | null
  eventTypes: readonly string[] | null
  succeeded: boolean | null
  errorClasses: readonly AttemptErrorClass[] | null
  statusCodes: readonly number[] | null
}

type Attempt = Pick<
  typeof attempts.$inferSelect,
  'id' | 'endpointId' | 'eventId' | 'deliveryId' | 'eventType' | 'succeeded' | 'errorClass' | 'status'
>

/** The filter a caller meant; throws a `Mistake` for one that cannot be used, instead of leaving a part of it out. */
export function readAttemptFilter(
  input: Optional<AttemptFilterInput>,
  path: readonly string[] = ['filter'],
): AttemptFilter {
  return {
    endpointIds: readIds('ep', input?.endpointIds, [...path, 'endpointIds']),
    eventIds: readIds('evt', input?.eventIds, [...path, 'eventIds']),
    deliveryIds: readIds('dlv', input?.deliveryIds, [...path, 'deliveryIds']),
    eventTypes: readPatterns(input?.eventTypes, [...path, 'eventTypes']),
    succeeded: input?.succeeded ?? null,
    errorClasses: readList(input?.errorClasses, [...path, 'errorClasses']),
    statusCodes: readStatusCodes(input?.statusCodes, [...path, 'statusCodes']),
    ...readTimeRange(input, path),
  }
}

export const STATUS: NumberRange = { from: 100, to: 999, unit: '', like: 503 }

function readStatusCodes(codes: Optional<readonly number[]>, path: readonly string[]): readonly number[] | null {
  return readList(codes, path)?.map((code, index) => readWhole(code, STATUS, [...path, String(index)])) ?? null
}

/** Whether the filter lets an attempt through. */
export function matches(filter: AttemptFilter, attempt: Attempt): boolean {
  const startedAt = timeOf(attempt.id)
  return (
    (filter.endpointIds === null || filter.endpointIds.includes(attempt.endpointId)) &&
    (filter.eventIds === null || filter.eventIds.includes(attempt.eventId)) &&
    (filter.deliveryIds === null || filter.deliveryIds.includes(attempt.deliveryId)) &&
    (filter.eventTypes === null || filter.eventTypes.some((pattern) => matchesPattern(pattern, attempt.eventType))) &&
    (filter.succeeded === null || filter.succeeded === attempt.succeeded) &&
    (filter.errorClasses === null ||
      (attempt.errorClass !== null && filter.errorClasses.includes(attempt.errorClass))) &&
    (filter.statusCodes === null || (attempt.status !== null && filter.statusCodes.includes(attempt.status))) &&
    (filter.since === null || startedAt >= filter.since.getTime()) &&
    (filter.until === null || startedAt < filter.until.getTime())
  )
}
