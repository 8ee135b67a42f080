import type { Edit } from '../../src/postgres/mend-edits.ts'
import type { Law } from './check.ts'
import type { Hand } from './plan.ts'

/**
 * Mistakes that the chaos test must catch, each with the faults that bring it to light and the law that it breaks. `edits`
 * change the program's text as it is loaded.
 */
export type Mutant = { what: string; edits: Record<string, Edit[]>; hand: Hand; breaks: Law }

export const MUTANTS: Record<string, Mutant> = {
  'acknowledge-before-commit': {
    what: 'a publish is acknowledged when its transaction is ready to commit',
    edits: {
      'src/events/publish.ts': [
        {
          find: 'const results = await db.transaction(async (tx) => {',
          put: 'const results = await beforeItsCommit(db, async (tx: any) => {',
        },
        {
          find: '/** One ticket for all events that go first, and one for the others. */',
          put: `function beforeItsCommit(db: any, work: any): Promise<any> {
  return new Promise((resolve, reject) => {
    db.transaction(async (tx: any) => {
      const results = await work(tx)
      resolve(results)
      return results
    }).catch(reject)
  })
}`,
        },
      ],
    },
    hand: { postmaster: 3, session: 30 },
    breaks: 'lost',
  },
  'asynchronous-commit': {
    what: 'synchronous_commit = off: a commit is acknowledged before it is written',
    edits: { 'src/postgres/client.ts': [{ find: "synchronous_commit: 'on'", put: "synchronous_commit: 'off'" }] },
    hand: { postmaster: 4 },
    breaks: 'lost',
  },
  'settle-before-sending': {
    what: 'a delivery is settled as delivered, and sent half a second later',
    edits: {
      'src/deliveries/send.ts': [
        {
          find: 'const { result, headers } = await exchange(context, prepared, headersOf(prepared))',
          put: `const headers = headersOf(prepared)
  Object.assign(prepared, {
    sendAfterwards() {
      exchange(context, prepared, headers).catch(() => {})
    },
  })
  const result: any = {
    status: 204, headers: [], body: Buffer.alloc(0), bodyBytes: 0, truncated: false, remoteAddress: null,
    reusedSocket: false, timings: { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null, totalMs: 0 }, failure: null,
  }`,
        },
      ],
      'src/deliveries/settle-buffer.ts': [
        {
          find: "context.wake.signal('attempts')\n      if (admitted > 0)",
          put: "setTimeout(() => batch.forEach(({ prepared }: any) => prepared.sendAfterwards()), 500)\n      context.wake.signal('attempts')\n      if (admitted > 0)",
        },
      ],
    },
    hand: { worker: 6 },
    breaks: 'lost',
  },
  'no-fence': {
    what: 'a worker settles what it has, also when others have taken it over',
    edits: {
      'src/queue/tickets.ts': [
        {
          find: 'boss.deleteJob(queue, claims as never, { db: queueDatabase(tx) })\n      // Always there for deleteJob, but missing in the declared type.\n      return new Set((answer as unknown as { settled: string[] | null }).settled)',
          put: 'boss.deleteJob(queue, claims.map(({ id }) => id) as never, { db: queueDatabase(tx) })\n      return new Set(claims.map(({ id }) => id))',
        },
      ],
      'src/deliveries/settle.ts': [
        {
          find: 'where delivery.id = result.id and delivery.ticket_id is not distinct from result.ticket_id',
          put: 'where delivery.id = result.id',
        },
      ],
    },
    hand: { stop: 2 },
    breaks: 'duplicates',
  },
}
