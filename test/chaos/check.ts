import type { DeliveryRow, Endpoint, History, Publish, Receipt } from './history.ts'
import { type Interruption, interruptions } from './interrupted.ts'

/** What a run came to, in numbers. */
export type Figures = Record<string, number>

export type Violation = { law: Law; what: string }

/** In the order in which they are told. */
export const LAWS = {
  lost: 'every acknowledged event arrives at every endpoint that matches it',
  unexpected: 'nothing arrives that was not published, or where it does not belong',
  duplicates: 'nothing arrives again that was not in flight when something died',
  acknowledged: 'every key is acknowledged in the end, and none is refused',
  rows: 'an acknowledged event has exactly one delivery for every endpoint that matches it, and it is DELIVERED',
  bytes: 'what arrives are the published bytes, the same each time',
  genuine: 'what arrives is signed: an independent verifier says so',
  recorded: 'every request is recorded as an attempt, unless its process died under it',
  order: 'where events go in order, none arrives before one that was acknowledged before it was published',
  left: 'no claim is held, and nothing waits',
  deaths: 'no process dies that nobody has killed',
} as const

export type Law = keyof typeof LAWS

/** Judges a history by all laws. */
export function check(history: History): { figures: Figures; violations: Violation[] } {
  const reading = read(history)
  const violations = Object.entries(JUDGES).flatMap(([law, judge]) =>
    judge(reading).map((what) => ({ law: law as Law, what })),
  )
  return { figures: figuresOf(reading), violations }
}

type Expected = { publish: Publish; endpoint: Endpoint; eventId: string; receipts: Receipt[]; rows: DeliveryRow[] }

type Reading = {
  history: History
  byEvent: Map<string, Publish>
  /** Each acknowledged event at each endpoint that matches it. */
  expected: Expected[]
  interrupted: Map<string, Map<string, Interruption>>
}

const pairOf = ({ endpoint, eventId }: { endpoint: string; eventId: string }) => `${endpoint} ${eventId}`

function read(history: History): Reading {
  const receipts = Map.groupBy(history.receipts, pairOf)
  const rows = Map.groupBy(history.rows.deliveries, pairOf)
  const expected = history.publishes.flatMap((publish) => {
    const { eventId, type } = publish
    if (eventId === null) return []
    return history.endpoints
      .filter(({ types }) => types.includes(type))
      .map((endpoint) => {
        const pair = pairOf({ endpoint: endpoint.name, eventId })
        return { publish, endpoint, eventId, receipts: receipts.get(pair) ?? [], rows: rows.get(pair) ?? [] }
      })
  })
  const byEvent = new Map(history.publishes.flatMap((one) => (one.eventId === null ? [] : [[one.eventId, one]])))
  return { history, byEvent, expected, interrupted: interruptions(history) }
}

const JUDGES: Record<Law, (reading: Reading) => string[]> = {
  lost: ({ expected }) => expected.filter((one) => oks(one).length === 0).map(nameOf),
  unexpected: ({ history, byEvent }) => [
    ...history.receipts.flatMap((receipt) => strangeness(receipt, history, byEvent)),
    ...twiceWritten(history, byEvent),
  ],
  duplicates: ({ expected, interrupted }) =>
    expected
      .filter((one) => oks(one).length - 1 > interruptedOf(one, interrupted).length)
      .map(
        (one) =>
          `${nameOf(one)} arrived ${oks(one).length} times, interrupted ${interruptedOf(one, interrupted).length} times`,
      ),
  acknowledged: ({ history }) =>
    history.publishes.flatMap(({ key, eventId, refusal, tries }) => {
      if (refusal !== null) return [`${key} was refused: ${refusal}`]
      return eventId === null ? [`${key} was not acknowledged in ${tries} tries`] : []
    }),
  rows: ({ expected }) =>
    expected
      .filter(({ rows }) => rows.length !== 1 || rows[0]?.state !== 'DELIVERED')
      .map((one) => `${nameOf(one)} has ${one.rows.map(({ state }) => state).join(', ') || 'no row'}`),
  bytes: ({ expected }) => expected.flatMap(alteredBytes),
  genuine: ({ history }) =>
    history.receipts.filter(({ genuine }) => !genuine).map((receipt) => `${pairOf(receipt)} does not verify`),
  recorded: unrecorded,
  order: outOfOrder,
  left: ({ history }) =>
    Object.entries(history.rows.left)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => `${count} ${what}`),
  deaths: ({ history }) => history.deaths,
}

const oks = ({ receipts }: Expected) => receipts.filter(({ answer }) => answer === 'ok')
const nameOf = ({ publish, endpoint, eventId }: Expected) => `${publish.key} (${eventId}) at ${endpoint.name}`

/** The claims of its delivery that were interrupted. One claim makes one request, so it explains one repetition. */
function interruptedOf({ rows }: Expected, interrupted: Reading['interrupted']): Interruption[] {
  return rows.flatMap(({ id }) => [...(interrupted.get(id)?.values() ?? [])])
}

/** An event that was not acknowledged may have been written all the same; its key tells which it is. */
function strangeness(receipt: Receipt, { publishes, endpoints }: History, byEvent: Map<string, Publish>): string[] {
  const { endpoint, eventId, body } = receipt
  const publish = byEvent.get(eventId) ?? publishes.find(({ eventId, key }) => eventId === null && body.includes(key))
  if (publish === undefined) return [`${pairOf(receipt)} is no event that was acknowledged: ${body}`]
  if (endpoints.find(({ name }) => name === endpoint)?.types.includes(publish.type)) return []
  return [`${publish.key} of type ${publish.type} arrived at ${endpoint}`]
}

/** One key is one event, however often it was published. */
function twiceWritten({ rows, publishes }: History, byEvent: Map<string, Publish>): string[] {
  const unknown = rows.events.filter((id) => !byEvent.has(id))
  const open = publishes.filter(({ eventId }) => eventId === null).length
  return unknown.length > open ? unknown.map((id) => `the event ${id} stands beside that of its key`) : []
}

function alteredBytes(one: Expected): string[] {
  const { publish, eventId, receipts } = one
  const head = `{"id":"${eventId}","type":"${publish.type}",`
  const altered = receipts.filter(
    ({ body }) => !body.startsWith(head) || !body.endsWith(`,"data":${publish.payload}}`) || body !== receipts[0]?.body,
  )
  return altered.map(({ body }) => `${nameOf(one)}: ${body}`)
}

/** Per delivery: receipts that no attempt stands for, beyond those whose claim was interrupted. */
function unrecorded({ history, expected, interrupted }: Reading): string[] {
  const attempts = Map.groupBy(history.rows.attempts, ({ delivery }) => delivery)
  return expected.flatMap((one) => {
    const recorded = one.rows.reduce((sum, { id }) => sum + (attempts.get(id)?.length ?? 0), 0)
    const missing = one.receipts.length - recorded
    return missing > interruptedOf(one, interrupted).length ? [`${nameOf(one)}: ${missing} requests`] : []
  })
}

/** Of each lane at each ordered endpoint: what was first answered well, in the order of publishing. */
function outOfOrder({ expected }: Reading): string[] {
  const ordered = expected.filter((one) => one.endpoint.ordered && oks(one).length > 0)
  const lanes = Map.groupBy(ordered, ({ endpoint, publish }) => `${endpoint.name} ${publish.lane}`)
  return [...lanes.values()].flatMap((lane) =>
    lane.flatMap((one, place) => {
      const before = lane[place - 1]
      if (before === undefined || firstOk(before) <= firstOk(one)) return []
      return [`${nameOf(one)} arrived before ${before.publish.key}`]
    }),
  )
}

const firstOk = (one: Expected) => Math.min(...oks(one).map(({ at }) => at))

function figuresOf(reading: Reading): Figures {
  const { history, expected, interrupted } = reading
  const acknowledged = history.publishes.filter(({ eventId }) => eventId !== null)
  const count = (why: Interruption) =>
    [...interrupted.values()].flatMap((of) => [...of.values()]).filter((each) => each === why).length
  const ok = expected.filter((one) => oks(one).length > 0)
  return {
    attempted: history.publishes.length,
    acknowledged: acknowledged.length,
    'of these recovered': acknowledged.filter(({ duplicate }) => duplicate).length,
    'tries beyond the first': history.publishes.reduce((sum, { tries }) => sum + tries - 1, 0),
    'acknowledged × matching': expected.length,
    ok: ok.length,
    lost: expected.length - ok.length,
    unexpected: JUDGES.unexpected(reading).length,
    duplicates: ok.reduce((sum, one) => sum + oks(one).length - 1, 0),
    'in flight at faults': count('fault'),
    'claims lapsed besides': count('lapsed'),
    'answered too late': count('late'),
    requests: history.receipts.length,
    'process deaths nobody caused': history.deaths.length,
  }
}
