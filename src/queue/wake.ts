import { randomUUID } from 'node:crypto'
import type { Log } from '../log.ts'
import type { Sql } from '../postgres/client.ts'

/**
 * What there may be news of; older processes know them by these very words. `credentials` are those of callers: API keys and portal
 * sessions that ended.
 */
export type Topic =
  | 'outbox'
  | 'deliver'
  | 'promote'
  | 'attempts'
  | 'replays'
  | 'replay-progress'
  | 'credentials'
  | 'catalogue'

/**
 * Wake-ups: hints that there is something to look at. In this process at once; to the others by one debounced NOTIFY.
 * Polling is the truth: a lost wake-up costs latency, never work.
 */
export type Wake = {
  signal(topic: Topic): void
  /** Calls `listener` at each signal of the topic, and after every reconnection of the listening session. Returns how to stop. */
  on(topic: Topic, listener: () => void): () => void
  close(): Promise<void>
}

const CHANNEL = 'postrider_wake'
// A NOTIFY takes a database-wide lock at its commit: one per 20 ms and process is nothing, one per transaction cost
// two thirds of the throughput (4,200-5,200 down to 1,400-1,700 transactions/s with 16 clients).
const DEBOUNCE_MS = 20

/** `sql` is a client of its own: listening needs a session, and a NOTIFY must not wait behind the pool. */
export async function createWake(sql: Sql, log: Log): Promise<Wake> {
  const self = randomUUID()
  const listeners = new Map<Topic, Set<() => void>>()
  const toNotify = new Set<Topic>()
  let timer: NodeJS.Timeout | null = null
  let closed = false

  const call = (topic: Topic) => {
    for (const listener of listeners.get(topic) ?? []) listener()
  }
  const notify = () => {
    timer = null
    const payload = [self, ...toNotify].join(' ')
    toNotify.clear()
    sql.notify(CHANNEL, payload).catch((err) => closed || log.debug({ err }, 'A wake-up was not sent; polling will do'))
  }
  const onNotify = (payload: string) => {
    const [sender, ...topics] = payload.split(' ')
    if (sender !== self) for (const topic of topics) call(topic as Topic)
  }
  // What was sent while the session was down is gone: look at everything once.
  const onListen = () => {
    for (const topic of listeners.keys()) call(topic)
  }
  await sql.listen(CHANNEL, onNotify, onListen)

  return {
    signal(topic) {
      call(topic)
      toNotify.add(topic)
      if (timer === null && !closed) timer = setTimeout(notify, DEBOUNCE_MS)
    },
    on(topic, listener) {
      const ofTopic = listeners.get(topic) ?? new Set()
      listeners.set(topic, ofTopic.add(listener))
      return () => ofTopic.delete(listener)
    },
    async close() {
      closed = true
      if (timer) clearTimeout(timer)
      await sql.end({ timeout: 1 })
    },
  }
}
