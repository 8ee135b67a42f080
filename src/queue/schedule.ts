import type { PgBoss } from 'pg-boss'
import type { Log } from '../log.ts'

export type ScheduledWork = {
  /** Runs `work` at every time of the cron expression (UTC), once, whichever process gets to it. */
  every(name: string, cron: string, work: () => Promise<void>): Promise<void>
}

export function createScheduledWork(boss: PgBoss, log: Log): ScheduledWork {
  return {
    async every(name, cron, work) {
      const options = { retryLimit: 0, expireInSeconds: 600, deleteAfterSeconds: 3600 }
      await boss.createQueue(name, { ...options, policy: 'singleton' })
      // Creating leaves a queue alone that is there already.
      await boss.updateQueue(name, options)
      await boss.schedule(name, cron)
      await boss.work(name, { pollingIntervalSeconds: 15 }, () =>
        work().catch((err) => {
          // The queue keeps it with the job, where nobody looks.
          log.error({ err, work: name }, 'Scheduled work failed; it is done again at its next time')
          throw err
        }),
      )
    },
  }
}
