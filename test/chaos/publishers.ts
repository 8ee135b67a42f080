import { setTimeout as wait } from 'node:timers/promises'
import type { Publish } from './history.ts'
import { createRandom } from './plan.ts'
import { ADMIN_KEY, payloadOf, TYPES } from './scenario.ts'

export type PublishersOptions = {
  seed: number
  /** How many publish side by side, each in a lane of its own. */
  count: number
  /** Where an API listens at the moment; none: nowhere. */
  urls(): string[]
}

export type Publishers = {
  publishes: Publish[]
  /** Tries that came to nothing, by what was said. */
  failures: Map<string, number>
  /** Begins nothing new, and waits until everything that was begun is acknowledged, until the deadline. */
  finish(deadlineMs: number): Promise<void>
}

const ANSWER_WITHIN_MS = 5000
const BETWEEN_TRIES_MS = 50
const MOST_PAUSE_MS = 120

const PUBLISH = `mutation ($input: EventPublishInput!) {
  eventPublish(input: $input) { event { id } duplicate userErrors { code message } }
}`

/** Starts publishers: each publishes one key at a time, again and again until it is acknowledged. */
export function startPublishers({ seed, count, urls }: PublishersOptions): Publishers {
  const publishes: Publish[] = []
  const failures = new Map<string, number>()
  let stopping = false
  let givingUp = false

  const publishUntilAcknowledged = async (publish: Publish, random: () => number) => {
    while (publish.eventId === null && publish.refusal === null && !givingUp) {
      publish.tries++
      const all = urls()
      const url = all[Math.floor(random() * all.length)]
      const failure = url === undefined ? 'nobody listens' : await tryOnce(url, publish)
      if (failure === null) return
      failures.set(failure, (failures.get(failure) ?? 0) + 1)
      await wait(BETWEEN_TRIES_MS)
    }
  }
  const run = async (publisher: number) => {
    const lane = `lane ${publisher}`
    const random = createRandom(seed * 1000 + publisher)
    for (let n = 0; !stopping; n++) {
      const key = `${lane}, event ${n};`
      const type = TYPES[Math.floor(random() * TYPES.length)] as string
      const fate = { tries: 0, eventId: null, duplicate: false, refusal: null }
      const publish: Publish = { key, type, lane, payload: payloadOf(key), ...fate }
      publishes.push(publish)
      await publishUntilAcknowledged(publish, random)
      await wait(random() * MOST_PAUSE_MS)
    }
  }
  const running = Promise.all(Array.from({ length: count }, (_, publisher) => run(publisher)))

  return {
    publishes,
    failures,
    async finish(deadlineMs) {
      stopping = true
      const deadline = setTimeout(() => {
        givingUp = true
      }, deadlineMs)
      await running
      clearTimeout(deadline)
    },
  }
}

type Answer = {
  data?: { eventPublish: { event: { id: string } | null; duplicate: boolean | null; userErrors: { code: string }[] } }
  errors?: { extensions?: { code?: string } }[]
}

/** Writes down what became of it; returns why it is to be tried again, or null. */
async function tryOnce(url: string, publish: Publish): Promise<string | null> {
  const { key, type, lane, payload } = publish
  const input = { idempotencyKey: key, type, orderingKey: lane, payloadJson: payload }
  try {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN_KEY}` },
      body: JSON.stringify({ query: PUBLISH, variables: { input } }),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    })
    const { data, errors } = (await response.json()) as Answer
    if (errors) return String(errors[0]?.extensions?.code ?? 'an error without a code')
    if (data?.eventPublish.event) {
      publish.eventId = data.eventPublish.event.id
      publish.duplicate = data.eventPublish.duplicate === true
    } else publish.refusal = data?.eventPublish.userErrors.map(({ code }) => code).join(', ') ?? 'no answer'
    return null
  } catch (error) {
    const { name, cause } = error as Error
    return String((cause as { code?: string } | undefined)?.code ?? name)
  }
}
