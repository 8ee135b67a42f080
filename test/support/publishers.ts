import { setTimeout as wait } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import type { Api, Variables } from './app.ts'

const PUBLISH = `mutation ($input: EventPublishInput!) {
  eventPublish(input: $input) { event { id } userErrors { code message } }
}`
type Answer = {
  data?: { eventPublish: { event: { id: string } | null } | null } | null
  errors?: { extensions: { code: string } }[]
}

export type Publishers = {
  /** Event ids by idempotency key, in the order in which they were acknowledged. */
  acknowledged: Map<string, string>
  /** How often a publish was refused in a way that says to try again, by code. */
  refusals: Map<string, number>
  /** Whatever else was answered. */
  unexpected: string[]
  /** No more new events; resolves when those under way are acknowledged. */
  stop(): Promise<void>
}

export type PublishersOptions = {
  /** Where to publish; the next one is tried when one refuses. */
  apis: () => Pick<Api, 'url' | 'key'>[]
  count: number
  /** Between an acknowledgement and the next event. */
  pauseMs: number
  /** The `sequence`th event of a publisher. */
  event(publisher: number, sequence: number): Variables
}

/** Publishers as they should be: each repeats an event, with its idempotency key, until it is acknowledged. */
export function startPublishers({ apis, count, pauseMs, event }: PublishersOptions): Publishers {
  const acknowledged = new Map<string, string>()
  const refusals = new Map<string, number>()
  const unexpected: string[] = []
  const ending = new AbortController()
  const giveUp = new AbortController()

  const publishForSure = async (publisher: number, sequence: number) => {
    const idempotencyKey = `${publisher}-${sequence}`
    for (let tries = publisher; !giveUp.signal.aborted; tries++) {
      const fleet = apis()
      const input = { ...event(publisher, sequence), idempotencyKey }
      const outcome = await publishOnce(fleet[tries % fleet.length] as Api, input)
      if ('id' in outcome) return void acknowledged.set(idempotencyKey, outcome.id)
      if ('unexpected' in outcome) unexpected.push(outcome.unexpected)
      else refusals.set(outcome.refusal, (refusals.get(outcome.refusal) ?? 0) + 1)
      await wait(50)
    }
  }
  const publish = async (publisher: number) => {
    for (let sequence = 0; !ending.signal.aborted; sequence++) {
      await publishForSure(publisher, sequence)
      await wait(pauseMs)
    }
  }
  const all = Promise.all(Array.from({ length: count }, (_, publisher) => publish(publisher)))
  onTestFinished(() => {
    ending.abort()
    giveUp.abort()
  })
  return {
    acknowledged,
    refusals,
    unexpected,
    async stop() {
      ending.abort()
      await all
    },
  }
}

type Outcome = { id: string } | { refusal: string } | { unexpected: string }

async function publishOnce({ url, key }: Pick<Api, 'url' | 'key'>, input: Variables): Promise<Outcome> {
  let text = ''
  try {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify({ query: PUBLISH, variables: { input } }),
      signal: AbortSignal.timeout(20_000),
    })
    text = await response.text()
    const { data, errors } = JSON.parse(text) as Answer
    const id = data?.eventPublish?.event?.id
    if (id !== undefined) return { id }
    if (errors?.[0]?.extensions.code === 'UNAVAILABLE') return { refusal: `UNAVAILABLE ${response.status}` }
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as { code?: string }
    if (error instanceof TypeError && code !== undefined) return { refusal: code }
    return { unexpected: `${error} ${text}` }
  }
  return { unexpected: text }
}
