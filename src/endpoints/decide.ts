import type { StoredVersions } from '../../schema/tables/endpoints.ts'
import { createEvaluation, type Subject } from './filter.ts'
import { wants } from './matching.ts'

/** What an endpoint says about which events it gets. */
export type Wishes = {
  eventTypes: readonly string[] | null
  channels: readonly string[] | null
  versions: StoredVersions | null
  filter: string | null
}

/** Why an endpoint does not get an event, the first reason that there is. */
export type Refusal = 'TEST_EVENT' | 'EVENT_TYPE' | 'CHANNEL' | 'VERSION' | 'FILTER' | 'FILTER_FAULT'

/** `fault`: what is wrong with a filter that could not be evaluated. */
export type Decision = { refusal: Refusal | null; fault: string | null }

/** An event that is to be decided about; `operations`: it belongs to the tenant that gets the events about all others. */
export type Decided = Subject & { isTest: boolean; operations: boolean }

const YES: Decision = { refusal: null, fault: null }
const no = (refusal: Refusal, fault: string | null = null): Decision => ({ refusal, fault })

/**
 * Decides which endpoints get an event: for routing, for its explanation, for whatever comes later to the same question. What
 * must be asked of the payload comes last, and the same filter is evaluated once. `steps`: how much work that was.
 */
export function createDecisions(event: Decided): { decide(endpoint: Wishes): Decision; steps(): number } {
  const evaluation = createEvaluation(event)
  return {
    decide(endpoint) {
      const refusal = refusalWithoutPayload(event, endpoint)
      if (refusal !== null) return no(refusal)
      if (endpoint.filter === null) return YES
      const { holds, fault } = evaluation.verdict(endpoint.filter)
      if (holds) return YES
      return fault === null ? no('FILTER') : no('FILTER_FAULT', fault)
    },
    steps: evaluation.steps,
  }
}

/** The reasons that need not be looked for in the payload. */
export function refusalWithoutPayload(
  { type, version, channels, isTest, operations }: Omit<Decided, 'payload' | 'tenant'>,
  { eventTypes, channels: listened, versions }: Wishes,
): Refusal | null {
  // A test goes to the one endpoint that it was made for.
  if (isTest) return 'TEST_EVENT'
  if (!wants(eventTypes, type, operations)) return 'EVENT_TYPE'
  if (listened !== null && !listened.some((channel) => channels.includes(channel))) return 'CHANNEL'
  if (versions !== null && Object.hasOwn(versions, type) && versions[type] !== version) return 'VERSION'
  return null
}
