import type { EndpointId } from '../../schema/ids.ts'
import { type Condition, lockConditions, saveConditions } from '../endpoints/condition.ts'
import type { HealthChange, HealthRules } from '../endpoints/health.ts'
import { isReservedEventType } from '../event-types/names.ts'
import type { News } from '../events/operational.ts'
import type { Tx } from '../postgres/client.ts'
import { type Evidence, judge } from './judgement.ts'
import type { Sent } from './send.ts'

/**
 * Changes what is known of endpoints by what they have answered, and returns the news of it. `parking` are endpoints that
 * the caller is going to change as well: all locks are taken here, in one order.
 */
export async function judgeEndpoints(
  tx: Tx,
  results: readonly Sent[],
  parking: readonly EndpointId[],
  rules: HealthRules,
  now: Date,
): Promise<News[]> {
  const byEndpoint = Map.groupBy(results, ({ prepared }) => prepared.delivery.endpointId)
  const troubled = results.filter(isTroubled).map(({ prepared }) => prepared.delivery.endpointId)
  const conditions = await lockConditions(tx, [...byEndpoint.keys()], [...troubled, ...parking])
  const changed: Condition[] = []
  const news: News[] = []
  for (const before of conditions) {
    const attempts = byEndpoint.get(before.id) ?? []
    const { after, change } = judge(before, attempts.map(evidenceOf), now, rules)
    if (!sameCondition(before, after)) changed.push(after)
    if (change !== null) news.push(newsOf(after, change, attempts.at(-1) as Sent))
  }
  await saveConditions(tx, changed, now)
  return news
}

/** The dead letters among some results. Not those of operational events: one about them would bring about the next. */
export function deadLetters(results: readonly Sent[]): News[] {
  return results
    .filter(({ prepared, settlement }) => {
      const { state, eventType } = prepared.delivery
      return (
        state === 'PENDING' && settlement.state === 'FAILED' && settlement.scheduled && !isReservedEventType(eventType)
      )
    })
    .map(({ prepared: { delivery, endpoint }, attempt }) => ({
      type: 'delivery.failed',
      reason: 'EXHAUSTED',
      tenantId: delivery.tenantId,
      endpoint: { id: delivery.endpointId, url: endpoint.url, description: endpoint.description },
      delivery: { id: delivery.id, attemptsMade: delivery.attemptsMade + 1 },
      event: { id: delivery.eventId, type: delivery.eventType },
      lastAttempt: lastAttemptOf(attempt),
    }))
}

/** Whether it may change a healthy endpoint. Those that are not well are looked at in any case. */
function isTroubled({ attempt, prepared }: Sent): boolean {
  return !attempt.succeeded || attempt.durationMs > prepared.endpoint.timeoutSeconds * 500
}

function evidenceOf({ prepared: { delivery, endpoint }, attempt, settlement }: Sent): Evidence {
  const { succeeded, status = null, errorClass = null, durationMs } = attempt
  const { timeoutSeconds, url } = endpoint
  return {
    succeeded,
    status,
    errorClass,
    durationMs,
    timeoutSeconds,
    url,
    trigger: delivery.trigger,
    disables: settlement.disables,
  }
}

function sameCondition(one: Condition, other: Condition): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

function newsOf(after: Condition, change: HealthChange, { attempt }: Sent): News {
  const { id, tenantId, url, description, failingSince, failedAttempts, disabledReason } = after
  const common = { tenantId, endpoint: { id, url, description }, lastAttempt: lastAttemptOf(attempt) }
  switch (change) {
    case 'RECOVERED':
      return { ...common, type: 'endpoint.recovered' }
    case 'FAILING':
      return { ...common, type: 'endpoint.failing', failingSince: failingSince as Date, failedAttempts }
    case 'DISABLED':
      return {
        ...common,
        type: 'endpoint.disabled',
        reason: disabledReason ?? 'FAILING',
        failingSince,
        failedAttempts,
      }
  }
}

function lastAttemptOf({
  id,
  status = null,
  errorClass = null,
  errorMessage = null,
}: Sent['attempt']): NonNullable<News['lastAttempt']> {
  return { id, status, errorClass, errorMessage }
}
