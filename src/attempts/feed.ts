import { and, asc, gt, gte, lte } from 'drizzle-orm'
import { type Id, lowestIdAt, timeOf } from '../../schema/ids.ts'
import { attempts } from '../../schema/tables/attempts.ts'
import type { Log } from '../log.ts'
import type { Db } from '../postgres/client.ts'
import type { Clock } from '../postgres/clock.ts'
import type { Wake } from '../queue/wake.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'
import type { FeedCursors, Place } from './cursor.ts'
import type { AttemptFilter } from './filter.ts'
import { type Attempt, attemptCondition } from './find.ts'
import { createSubscriber, type FeedGapReason, type FeedItem, type Subscriber } from './subscriber.ts'

export { type FeedGapReason, type FeedItem, FeedOverflow } from './subscriber.ts'

export type FeedContext = {
  db: Db
  wake: Wake
  clock: Clock
  log: Log
  cursorsOf(reach: Reach): FeedCursors
  heartbeatMs?: number
}

export type Feed = {
  /**
   * Attempts as they are recorded; with `after`, first everything recorded since that cursor. No gap and no duplicate.
   * A cursor of another database, of a lost key or of a dropped range is answered with a gap item first. Throws `Mistake` at `after`.
   */
  subscribe(options: {
    tenant: Reach
    filter: AttemptFilter
    after: string | null
  }): Promise<AsyncIterableIterator<FeedItem>>
  /** Start here: what is recorded from now on comes after it, for a subscriber of this reach. */
  cursor(reach: Reach): Promise<string>
  subscribers(): number
  close(): void
}

// The truth behind the wake-ups, asked only while somebody listens.
const POLL_MS = 1000
const HEARTBEAT_MS = 15_000
const PAGE = 500
// An attempt is recorded after it started: by its deadline as a rule, by the length of a database outage at worst.
const LONGEST_UNRECORDED_MS = 86_400_000

/** One reader per process reads new attempts once; every subscriber gets them through a bounded queue of its own. */
export function createFeed(context: FeedContext): Feed {
  const { db, clock, cursorsOf } = context
  const subscribers = new Set<Subscriber>()
  const reader = createReader(context, subscribers)
  const beat = setInterval(() => {
    for (const subscriber of subscribers) subscriber.heartbeat(clock.now())
  }, context.heartbeatMs ?? HEARTBEAT_MS)

  return {
    async subscribe({ tenant, filter, after }) {
      const cursors = cursorsOf(tenant)
      const asked = after === null ? null : cursors.read(after, ['after'])
      const now = await reader.start()
      const { from, gap } = await whereToStart(db, now, asked)
      const subscriber: Subscriber = createSubscriber({
        reach: tenant,
        filter,
        from,
        gap,
        write: cursors.write,
        head: () => reader.head() ?? now,
        page: (place, upTo, most) => readPast(db, tenant, filter, place, upTo, most),
        dropped: () => droppedPosition(db),
        onEnd: () => subscribers.delete(subscriber),
      })
      subscribers.add(subscriber)
      return subscriber.iterator
    },
    cursor: async (reach) => cursorsOf(reach).write(await newestPlace(db, clock)),
    subscribers: () => subscribers.size,
    close() {
      reader.close()
      clearInterval(beat)
      for (const subscriber of subscribers) subscriber.end()
    },
  }
}

/** Reads what is new while somebody listens: woken by news, and by a slow poll, which is the truth. */
function createReader({ db, wake, clock, log }: FeedContext, subscribers: ReadonlySet<Subscriber>) {
  let head: Place | null = null
  let reading = false
  let again = false

  // Never back, whichever of two questions is answered last: a subscriber that joins there would miss what was read between.
  const moveTo = (place: Place) => {
    if (head === null || place.position >= head.position) head = place
  }
  const readAll = async (): Promise<void> => {
    while (head !== null && subscribers.size > 0) {
      again = false
      const rows = await readAfter(db, head, PAGE)
      const newest = rows.at(-1)
      if (newest) moveTo({ position: newest.position, atMs: timeOf(newest.id) })
      for (const subscriber of subscribers) subscriber.offer(rows)
      if (rows.length < PAGE && !again) return
    }
  }
  const look = () => {
    again = true
    if (reading || subscribers.size === 0) return
    reading = true
    readAll()
      .catch((err) => log.debug({ err }, 'The feed could not be read; trying again'))
      .finally(() => {
        reading = false
      })
  }
  const stopListening = wake.on('attempts', look)
  const poll = setInterval(look, POLL_MS)

  return {
    head: () => head,
    /** The newest place. Moves an idle reader there; one that somebody listens to goes on from where it stands. */
    async start(): Promise<Place> {
      const newest = await newestPlace(db, clock)
      if (subscribers.size === 0) moveTo(newest)
      return newest
    },
    close() {
      stopListening()
      clearInterval(poll)
    },
  }
}

async function whereToStart(
  db: Db,
  now: Place,
  asked: Place | 'foreign' | null,
): Promise<{ from: Place; gap: FeedGapReason | null }> {
  if (asked === null) return { from: now, gap: null }
  // A database whose files were put back is what it was, with its epoch, but has not given all its positions again yet.
  if (asked === 'foreign' || asked.position > (await lastPosition(db))) return { from: now, gap: 'FOREIGN_CURSOR' }
  return { from: asked, gap: (await droppedPosition(db)) > asked.position ? 'RETENTION' : null }
}

/** The highest position that went with a day that was dropped: whoever goes on from an earlier one has a gap. */
async function droppedPosition(db: Db): Promise<number> {
  const [row] = await db.sql<{ position: number }[]>`
    select dropped_position::float8 as position from postrider.installation`
  return row?.position ?? 0
}

/** The last position that was given, committed or not. */
async function lastPosition(db: Db): Promise<number> {
  const [row] = await db.sql<
    { position: number }[]
  >`select last_value::float8 as position from postrider.attempt_positions`
  return row?.position ?? 0
}

/** The newest position there is, or was before it was dropped. Positions become visible in order, so everything up to it is there. */
async function newestPlace(db: Db, clock: Clock): Promise<Place> {
  const atMs = clock.now().getTime()
  const [row] = await db.sql<{ position: number }[]>`
    select greatest((select max(position) from postrider.attempts), dropped_position)::float8 as position
    from postrider.installation`
  return { position: row?.position ?? 0, atMs }
}

function readAfter(db: Db, place: Place, most: number): Promise<Attempt[]> {
  return db.orm
    .select()
    .from(attempts)
    .where(and(gt(attempts.position, place.position), notBefore(place)))
    .orderBy(asc(attempts.position))
    .limit(most)
}

function readPast(
  db: Db,
  reach: Reach,
  filter: AttemptFilter,
  place: Place,
  upTo: number,
  most: number,
): Promise<Attempt[]> {
  const { position } = attempts
  return db.orm
    .select()
    .from(attempts)
    .where(
      and(
        gt(position, place.position),
        lte(position, upTo),
        notBefore(place),
        inReach(attempts.tenantId, reach),
        attemptCondition(filter),
      ),
    )
    .orderBy(asc(position))
    .limit(most)
}

/** Keeps a query off the days before a place. */
const notBefore = ({ atMs }: { atMs: number }) =>
  gte(attempts.id, lowestIdAt(atMs - LONGEST_UNRECORDED_MS) as Id<'att'>)
