import { newId } from '../../schema/ids.ts'
import type { Catalogue } from '../event-types/catalogue.ts'
import { wrong } from '../input.ts'
import type { Log } from '../log.ts'
import { Mistake, moved } from '../mistake.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import { together } from '../postgres/together.ts'
import { isLockTimeout, isUnavailable, Unavailable } from '../postgres/unavailable.ts'
import type { Ticket, Tickets } from '../queue/tickets.ts'
import type { Wake } from '../queue/wake.ts'
import { BURST, type Bursts, createBursts, ORDINARY } from './bursts.ts'
import { type Draft, draftEvent, type PublishInput } from './draft.ts'
import { type Judged, type Published, passGate } from './gate.ts'
import { claimKeys, type KeyClaim } from './idempotency.ts'
import { insertEvents } from './write.ts'

export type { PublishInput } from './draft.ts'
export type { Published } from './gate.ts'

export type Publisher = {
  /** What `publish` would write, when nothing is wrong with it. Throws `Mistake`, with a path that starts at `path`. */
  draft(input: PublishInput, path: string[]): Promise<Draft>
  /** Writes one event. When it returns, the event and its routing survive any crash. Throws `Mistake`, or `Unavailable`. */
  publish(input: PublishInput): Promise<Published>
  /** Writes up to 500 events; each succeeds or fails for itself. Same order as the inputs. */
  publishBatch(inputs: readonly PublishInput[]): Promise<(Published | Mistake)[]>
}

export type PublisherContext = {
  db: Db
  tickets: Tickets
  wake: Wake
  clock: Clock
  log: Log
  catalogue: Pick<Catalogue, 'judge'>
  maxPayloadBytes: number
  idempotencyHours: number
}

type WriteContext = PublisherContext & { bursts: Bursts }

/** What one caller waits for: one event of `publish`, or all of a batch. */
type Waiting = { drafts: Draft[]; resolve(results: (Published | Mistake)[]): void; reject(error: unknown): void }

export const MOST_PER_BATCH = 500
// One transaction is under way while the next one gathers; a second one overlaps the first one's wait for the disk.
const TRANSACTIONS_AT_ONCE = 2
const MOST_DRAFTS_PER_TRANSACTION = 500

export function createPublisher(parts: PublisherContext): Publisher {
  const context = { ...parts, bursts: createBursts() }
  const write = createWriter(context)

  const publishAll = async (inputs: readonly PublishInput[], paths: readonly string[][]) => {
    const drafts = inputs.map((input, index) => draftOrMistake(context, input, paths[index] as string[]))
    const asked = drafts.flatMap((draft, index) =>
      draft instanceof Mistake ? [] : [{ draft, payloadField: fieldOf(inputs[index]) }],
    )
    const judged = await passGate(context, asked)
    const accepted = judged.flatMap((one) => (one.kind === 'accepted' ? [one.draft] : []))
    const written = accepted.length > 0 ? await write(accepted) : []
    const answers = answersOf(judged, written).values()
    return drafts.map((draft, index) =>
      draft instanceof Mistake ? draft : locate(answers.next().value as Published | Mistake, paths[index] as string[]),
    )
  }

  return {
    async draft(input, path) {
      const draft = draftEvent(input, path, context.clock.now(), context.maxPayloadBytes)
      const [judged] = await passGate(context, [{ draft, payloadField: fieldOf(input) }])
      if (judged?.kind === 'refused') throw locate(judged.mistake, path)
      return draft
    },
    async publish(input) {
      const [result] = await publishAll([input], [['input']])
      if (result instanceof Mistake) throw result
      return result as Published
    },
    async publishBatch(inputs) {
      if (inputs.length > MOST_PER_BATCH) throw batchTooLarge(inputs.length)
      return publishAll(
        inputs,
        inputs.map((_, index) => ['events', String(index)]),
      )
    },
  }
}

/** Writes drafts of many callers in few transactions; each call tells what became of its own, in their order. */
function createWriter(context: WriteContext): (drafts: Draft[]) => Promise<(Published | Mistake)[]> {
  const waiting: Waiting[] = []
  let underWay = 0
  let scheduled = false

  const flush = () => {
    while (waiting.length > 0 && underWay < TRANSACTIONS_AT_ONCE) {
      underWay++
      writeTogether(context, takeSome(waiting)).finally(() => {
        underWay--
        flush()
      })
    }
  }

  return (drafts) =>
    new Promise((resolve, reject) => {
      waiting.push({ drafts, resolve, reject })
      if (scheduled) return
      scheduled = true
      // Publishes that arrive in one turn of the event loop share a transaction.
      setImmediate(() => {
        scheduled = false
        flush()
      })
    })
}

const fieldOf = (input: PublishInput | undefined): 'payload' | 'payloadJson' =>
  typeof input?.payloadJson === 'string' ? 'payloadJson' : 'payload'

/** What became of each event that was judged, with what there is to tell about those that were written. */
function answersOf(judged: readonly Judged[], written: readonly (Published | Mistake)[]): (Published | Mistake)[] {
  const results = written.values()
  return judged.map((one) => {
    if (one.kind === 'refused') return one.mistake
    if (one.kind === 'repeated') return one.published
    const result = results.next().value as Published | Mistake
    return result instanceof Mistake || result.duplicate ? result : { ...result, warnings: one.warnings }
  })
}

export function batchTooLarge(events: number): Mistake {
  const message = `A batch holds at most ${MOST_PER_BATCH} events; this one has ${events}.`
  return wrong(['events'], message)
}

/** A mistake found after the input was read knows only the field; the caller wants to know which of its events. */
function locate(result: Published | Mistake, path: string[]): Published | Mistake {
  return result instanceof Mistake ? moved(result, (field) => [...path, ...field]) : result
}

function draftOrMistake(context: PublisherContext, input: PublishInput, path: string[]): Draft | Mistake {
  try {
    return draftEvent(input, path, context.clock.now(), context.maxPayloadBytes)
  } catch (error) {
    if (error instanceof Mistake) return error
    throw error
  }
}

function takeSome(waiting: Waiting[]): Waiting[] {
  let drafts = 0
  let count = 0
  for (const { drafts: more } of waiting) {
    if (count > 0 && drafts + more.length > MOST_DRAFTS_PER_TRANSACTION) break
    drafts += more.length
    count++
  }
  return waiting.splice(0, count)
}

/** One transaction for callers that came together. It must not couple them: on an error each is tried for itself. */
async function writeTogether(context: WriteContext, callers: Waiting[]): Promise<void> {
  try {
    answer(callers, await writeEvents(context, draftsOf(callers), '500ms'))
  } catch (error) {
    // Unknown whether it was committed: trying again could write the events twice. The caller has to decide.
    if (isUnavailable(error)) return refuse(callers, error)
    context.log.debug(
      { err: error, callers: callers.length },
      'Publishes that shared a transaction are tried one by one',
    )
    // With one key they wait for each other in any case: together, so that one held key holds one connection.
    for (const group of Map.groupBy(callers, keyOf).values()) void writeGroup(context, group)
  }
}

async function writeGroup(context: WriteContext, callers: Waiting[]): Promise<void> {
  try {
    answer(callers, await writeEvents(context, draftsOf(callers), '10s'))
  } catch (error) {
    if (isUnavailable(error) || isLockTimeout(error)) refuse(callers, error)
    else if (callers.length === 1) callers[0]?.reject(error)
    else for (const caller of callers) await writeGroup(context, [caller])
  }
}

const draftsOf = (callers: readonly Waiting[]) => callers.flatMap(({ drafts }) => drafts)
const keyOf = ({ drafts }: Waiting) => drafts.find(({ idempotency }) => idempotency)?.idempotency?.key

function answer(callers: readonly Waiting[], results: readonly (Published | Mistake)[]): void {
  let at = 0
  for (const { drafts, resolve } of callers) {
    resolve(results.slice(at, at + drafts.length))
    at += drafts.length
  }
}

function refuse(callers: readonly Waiting[], error: unknown): void {
  for (const { reject } of callers) reject(new Unavailable(error))
}

/** Idempotency keys, events, payloads and one outbox ticket for them all: everything or nothing. */
async function writeEvents(
  context: WriteContext,
  drafts: Draft[],
  lockTimeout: string,
): Promise<(Published | Mistake)[]> {
  const { db, tickets, clock, wake, bursts, idempotencyHours } = context
  const results = await db.transaction(async (tx) => {
    const keys = await claimKeys(tx, drafts, { now: clock.now(), hours: idempotencyHours, lockTimeout })
    const fresh = drafts.filter((draft) => isFresh(keys.get(draft)))
    if (fresh.length > 0) {
      await together([
        insertEvents(tx, fresh),
        tickets.enqueue(tx, 'outbox', outboxTickets(fresh, bursts, clock.now())),
      ])
    }
    return drafts.map((draft) => resultOf(draft, keys.get(draft)))
  })
  wake.signal('outbox')
  return results
}

/** One ticket for all events that go first, and one for the others. */
function outboxTickets(drafts: readonly Draft[], bursts: Bursts, now: Date): Ticket[] {
  const inBurst = new Set(
    [...Map.groupBy(drafts, ({ tenantId }) => tenantId)]
      .filter(([tenant, of]) => bursts.add(tenant, of.length, now.getTime()))
      .map(([tenant]) => tenant),
  )
  return [ORDINARY, BURST].flatMap((priority) => {
    const events = drafts.filter(({ tenantId }) => inBurst.has(tenantId) === (priority === BURST)).map(({ id }) => id)
    return events.length === 0 ? [] : [{ id: newId(now), priority, data: { events } }]
  })
}

const isFresh = (claim: KeyClaim | undefined) => claim === undefined || claim.kind === 'fresh'

function resultOf(draft: Draft, claim: KeyClaim | undefined): Published | Mistake {
  if (claim === undefined || claim.kind === 'fresh') return { eventId: draft.id, duplicate: false, warnings: [] }
  if (claim.kind === 'same') return { eventId: claim.eventId, duplicate: true, warnings: [] }
  const message = `The idempotency key "${draft.idempotency?.key}" was used before with another body. Use a new key for a new event.`
  return new Mistake('IDEMPOTENCY_CONFLICT', ['idempotencyKey'], message)
}
