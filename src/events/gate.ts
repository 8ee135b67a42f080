import type { EventId } from '../../schema/ids.ts'
import type { Catalogue } from '../event-types/catalogue.ts'
import type { PublishWarning } from '../event-types/verdict.ts'
import { type Mistake, moved } from '../mistake.ts'
import type { Sql } from '../postgres/client.ts'
import type { Draft } from './draft.ts'
import { findRepeats } from './idempotency.ts'

/** `duplicate`: the event was there already, under the same idempotency key. */
export type Published = { eventId: EventId; duplicate: boolean; warnings: readonly PublishWarning[] }

/** What the catalogue lets through, what it refuses, and what was accepted before it would have been refused. */
export type Judged =
  | { kind: 'accepted'; draft: Draft; warnings: readonly PublishWarning[] }
  | { kind: 'refused'; mistake: Mistake }
  | { kind: 'repeated'; published: Published }

type GateContext = { db: { sql: Sql }; catalogue: Pick<Catalogue, 'judge'>; clock: { now(): Date } }
type Asked = { draft: Draft /** Where the payload stood in the input. */; payloadField: 'payload' | 'payloadJson' }

/**
 * Asks the catalogue about drafts, in their order. An event that was accepted stays accepted: its repetition is answered with it,
 * also when its schema was changed since.
 */
export async function passGate({ db, catalogue, clock }: GateContext, asked: readonly Asked[]): Promise<Judged[]> {
  const verdicts = await catalogue.judge(asked.map(({ draft }) => draft))
  const refused = asked.filter((_, index) => verdicts[index]?.refusal).map(({ draft }) => draft)
  const repeats = await findRepeats(db.sql, refused, clock.now())
  return asked.map(({ draft, payloadField }, index) => {
    const { refusal = null, warnings = [], faults = [] } = verdicts[index] ?? {}
    const repeated = repeats.get(draft)
    if (repeated !== undefined)
      return { kind: 'repeated', published: { eventId: repeated, duplicate: true, warnings: [] } }
    if (refusal !== null) return { kind: 'refused', mistake: moved(refusal, (path) => placeOf(path, payloadField)) }
    return { kind: 'accepted', draft: faults.length === 0 ? draft : { ...draft, schemaFaults: faults }, warnings }
  })
}

/** Within `payloadJson` there are no places: it is one text. */
function placeOf(path: string[], payloadField: 'payload' | 'payloadJson'): string[] {
  return path[0] === 'payload' && payloadField === 'payloadJson' ? ['payloadJson'] : path
}
