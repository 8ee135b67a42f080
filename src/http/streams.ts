import type { ExecutionArgs, GraphQLError } from 'graphql'
import type { Plugin } from 'graphql-yoga'
import type { Context } from '../graphql/context.ts'
import { refusal, unauthenticated } from '../graphql/errors.ts'
import type { Viewer } from '../tenants/access.ts'
import type { CallerWatch } from '../tenants/watch.ts'
import { createCounts } from './counts.ts'
import type { HttpLimits } from './limits.ts'

/** The live subscriptions of this process. */
export type Streams = {
  /** A place for one more; throws TOO_MANY_SUBSCRIPTIONS when there is none. Returns how to leave it. */
  take(viewer: Viewer): () => void
  count(): number
}

export type StreamLimits = Pick<HttpLimits, 'subscriptions' | 'subscriptionsPerTenant' | 'subscriptionsPerCaller'>

export function createStreams(limits: StreamLimits): Streams {
  const { subscriptions, subscriptionsPerTenant, subscriptionsPerCaller } = limits
  const ofCaller = createCounts()
  // However many keys and portal sessions it has. Instance-wide keys are the operator's, and no tenant's.
  const ofTenant = createCounts()
  let all = 0
  return {
    take({ id, tenantId }) {
      const name = String(id)
      if (ofCaller.of(name) >= subscriptionsPerCaller) throw tooMany(subscriptionsPerCaller, 'with one key')
      if (tenantId !== null && ofTenant.of(tenantId) >= subscriptionsPerTenant) {
        throw tooMany(subscriptionsPerTenant, 'with the keys and portal sessions of one tenant')
      }
      if (all >= subscriptions) throw tooMany(subscriptions, 'in one process')
      ofCaller.add(name)
      if (tenantId !== null) ofTenant.add(tenantId)
      all++
      let left = false
      return () => {
        if (left) return
        left = true
        ofCaller.remove(name)
        if (tenantId !== null) ofTenant.remove(tenantId)
        all--
      }
    },
    count: () => all,
  }
}

function tooMany(most: number, where: string): GraphQLError {
  return refusal('TOO_MANY_SUBSCRIPTIONS', `At most ${most} live subscriptions may be open ${where}: end some of them.`)
}

type Items = AsyncIterable<unknown>

/** Gives each subscription its place among all, and ends it with UNAUTHENTICATED when its credential ends. */
export function limitStreams(streams: Streams, callers: Pick<CallerWatch, 'watch'>): Plugin<Context> {
  return {
    onSubscribe({ subscribeFn, setSubscribeFn }) {
      setSubscribeFn(async (args: ExecutionArgs) => {
        const { viewer, isLive } = args.contextValue as Context & { isLive?(ended: () => void): void }
        let leave: () => void
        try {
          leave = streams.take(viewer)
        } catch (error) {
          return { errors: [error] }
        }
        try {
          const result: object = await subscribeFn(args)
          if (Symbol.asyncIterator in result) {
            const guarded = guard(result as Items, viewer, callers, leave)
            isLive?.(() => void guarded.return?.())
            return guarded
          }
          leave()
          return result
        } catch (error) {
          leave()
          throw error
        }
      })
    },
  }
}

/** The same items, until the credential ends. A plain object, not a generator, which cannot be ended while it waits. */
function guard(
  items: Items,
  viewer: Viewer,
  callers: Pick<CallerWatch, 'watch'>,
  leave: () => void,
): AsyncIterableIterator<unknown> {
  const source = items[Symbol.asyncIterator]()
  const waiting = new Set<PromiseWithResolvers<IteratorResult<unknown>>>()
  let failure: GraphQLError | null = null
  const end = () => {
    stopWatching()
    leave()
  }
  const stopWatching = callers.watch(viewer, () => {
    if (waiting.size === 0) failure = unauthenticated()
    for (const waiter of waiting) waiter.reject(unauthenticated())
    end()
    source.return?.().catch(() => {})
  })
  return {
    async next() {
      if (failure) {
        const error = failure
        failure = null
        throw error
      }
      // No race with one promise for the whole life of a subscription: each item would leave something at it.
      const waiter = Promise.withResolvers<IteratorResult<unknown>>()
      waiting.add(waiter)
      source.next().then(waiter.resolve, waiter.reject)
      try {
        const result = await waiter.promise
        if (result.done) end()
        return result
      } catch (error) {
        end()
        throw error
      } finally {
        waiting.delete(waiter)
      }
    },
    async return() {
      end()
      await source.return?.()
      return { done: true, value: undefined }
    },
    async throw(error) {
      end()
      await source.return?.()
      throw error
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
