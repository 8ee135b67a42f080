import { Mistake } from '../mistake.ts'
import type { Db, Orm, PoolOptions } from './client.ts'
import { causesOf, codeOf, NO_CONNECTION_FREE } from './unavailable.ts'

/** Reads that may go through a whole history, as a filter makes them do that matches hardly anything. */
export type Scans = {
  /** One at a time of each owner. Mistakes: TOO_MUCH_TO_READ at `path`. */
  run<T>(owner: string, path: string[], read: (orm: Orm) => Promise<T>): Promise<T>
}

/** Their pool: apart from that of the API, so that they leave everybody else a connection, and most of the processors. */
export const SCANS_POOL = { name: 'scans', max: 3, statementTimeoutMs: 10_000 } satisfies Partial<PoolOptions>
const TURN_WITHIN_MS = 10_000
const STATEMENT_TIMEOUT = '57014'

export function createScans({ orm }: Pick<Db, 'orm'>, turnWithinMs = TURN_WITHIN_MS): Scans {
  // Those who wait, by owner; an owner without a line is not reading.
  const lines = new Map<string, (() => void)[]>()

  const enter = async (owner: string, path: string[]) => {
    const line = lines.get(owner)
    if (!line) return void lines.set(owner, [])
    const turn = Promise.withResolvers<void>()
    line.push(turn.resolve)
    const timer = setTimeout(() => {
      const place = line.indexOf(turn.resolve)
      if (place !== -1) line.splice(place, 1)
      turn.reject(crowded(path))
    }, turnWithinMs)
    await turn.promise.finally(() => clearTimeout(timer))
  }
  const leave = (owner: string) => {
    const next = lines.get(owner)?.shift()
    if (next) next()
    else lines.delete(owner)
  }

  return {
    async run(owner, path, read) {
      await enter(owner, path)
      try {
        return await read(orm)
      } catch (error) {
        if (hasCode(error, STATEMENT_TIMEOUT)) throw tooMuch(path)
        if (hasCode(error, NO_CONNECTION_FREE)) throw crowded(path)
        throw error
      } finally {
        leave(owner)
      }
    },
  }
}

const hasCode = (error: unknown, code: string) => causesOf(error).some((cause) => codeOf(cause) === code)

const ADVICE = 'Give since or until, name endpoints, or ask for less.'

const tooMuch = (path: string[]) =>
  new Mistake('TOO_MUCH_TO_READ', path, `It takes longer than 10 s to read all of this. ${ADVICE}`)

const crowded = (path: string[]) =>
  new Mistake(
    'TOO_MUCH_TO_READ',
    path,
    `Others that read as much are still being answered; of one tenant it is one at a time. Try again in a moment. ${ADVICE}`,
  )
