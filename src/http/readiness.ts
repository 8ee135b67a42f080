import type { ServerResponse } from 'node:http'
import type { Trouble } from '../log.ts'
import { isUnavailable } from '../postgres/unavailable.ts'
import { answerJson } from './answer.ts'

/** What `/ready` says: whether requests should be sent here. */
export type Readiness = {
  answer(response: ServerResponse): Promise<void>
  /** From now on they should not. Resolves when whoever asks regularly, as a load balancer does, has been told. */
  leave(): Promise<void>
  leaving(): boolean
}

const ANSWER_WITHIN_MS = 3000
// Asked twice in so short a time, it will be asked again soon.
const REGULAR_MS = 15_000
const LEAVE_WITHIN_MS = 5000

export type ReadinessOptions = {
  /** Resolves when the database answers. */
  ready(): Promise<unknown>
  /** Told of it when it does not, and when it does again: nobody else may ask. */
  unavailable: Trouble
}

/** Ready as long as the database answers in time, until `leave`. */
export function createReadiness({ ready, unavailable }: ReadinessOptions): Readiness {
  let asked: [number, number] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
  let left: PromiseWithResolvers<void> | null = null
  const isAskedRegularly = () => performance.now() - asked[0] < REGULAR_MS
  return {
    async answer(response) {
      asked = [asked[1], performance.now()]
      if (left !== null) {
        response.on('close', left.resolve)
        return answerJson(response, 503, { status: 'stopping', reason: 'This process is about to end.' })
      }
      const late = new Promise((_, reject) => setTimeout(() => reject(new Error('late')), ANSWER_WITHIN_MS).unref())
      const answers = await Promise.race([ready(), late]).then(
        () => {
          unavailable.over()
          return true
        },
        (error: unknown) => {
          if (isUnavailable(error)) unavailable.failed(error)
          return false
        },
      )
      if (answers) return answerJson(response, 200, { status: 'ready' })
      answerJson(response, 503, { status: 'unavailable', reason: 'The database does not answer.' })
    },
    async leave() {
      left = Promise.withResolvers()
      if (!isAskedRegularly()) return
      const timer = setTimeout(left.resolve, LEAVE_WITHIN_MS)
      await left.promise
      clearTimeout(timer)
    },
    leaving: () => left !== null,
  }
}

/** `/health` and `/ready`; false for any other path. */
export function answerHealth(path: string, readiness: Readiness, response: ServerResponse): boolean {
  if (path === '/health') answerJson(response, 200, { status: 'up' })
  else if (path === '/ready') void readiness.answer(response)
  else return false
  return true
}
