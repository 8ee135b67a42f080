import { hash } from 'node:crypto'
import type { EndpointId } from '../../schema/ids.ts'
import type { Egress, EgressFailure } from '../egress/request.ts'
import type { OAuth2Client } from '../endpoints/authorization.ts'
import type { Clock } from '../postgres/clock.ts'
import { VERSION } from '../version.ts'
import { readTokenAnswer, tokenRequestOf } from './token-request.ts'

/** A token, or why there is none. */
export type Access = { token: string } | { failure: EgressFailure }

/** The access tokens of endpoints, kept in the memory of this process until shortly before they expire. */
export type AccessTokens = {
  /**
   * A token for an endpoint, in `withinMs` at most. One request at a time is made for an endpoint, however many wait for it.
   * `refused` is a token that the receiver has answered with 401: it is not given out again. Never rejects for what a token
   * endpoint does.
   */
  get(endpoint: EndpointId, client: OAuth2Client, withinMs: number, refused?: string): Promise<Access>
}

export type AccessTokensContext = { egress: Egress; clock: Clock }

type Kept = {
  /** A hash of the credentials that it was asked for with: with others it is of no use. */
  client: string
  token: string | null
  usableUntil: number
  asking: Promise<Access> | null
}

// Endpoints come and go; what was kept longest is asked for anew if need be.
const MOST_KEPT = 10_000

export function createAccessTokens({ egress, clock }: AccessTokensContext): AccessTokens {
  const kept = new Map<EndpointId, Kept>()

  const keptFor = (endpoint: EndpointId, client: string): Kept => {
    const known = kept.get(endpoint)
    if (known?.client === client) return known
    const fresh: Kept = { client, token: null, usableUntil: 0, asking: null }
    if (known === undefined && kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value as EndpointId)
    kept.set(endpoint, fresh)
    return fresh
  }

  const ask = async (place: Kept, client: OAuth2Client, deadlineMs: number): Promise<Access> => {
    const askedAt = clock.now().getTime()
    const { headers, body } = tokenRequestOf(client)
    const answer = readTokenAnswer(
      await egress.send({
        url: client.tokenUrl,
        method: 'POST',
        headers: [['user-agent', `Postrider/${VERSION}`], ...headers],
        body,
        deadlineMs,
      }),
    )
    if (!('token' in answer)) return { failure: answer }
    place.token = answer.token
    place.usableUntil = askedAt + answer.usableMs
    return { token: answer.token }
  }

  return {
    get(endpoint, client, withinMs, refused) {
      // By a hash: the secret is worth more than the token beside it, and would lie in memory as long.
      const place = keptFor(endpoint, hash('sha256', JSON.stringify(client)))
      const usable = place.token !== null && place.token !== refused && place.usableUntil > clock.now().getTime()
      if (usable) return Promise.resolve({ token: place.token as string })
      if (withinMs <= 0) return Promise.resolve(TOO_LATE)
      // Whoever joins has a deadline of its own; whoever asks is told by the egress what went wrong.
      if (place.asking !== null) return within(place.asking, withinMs)
      place.asking = ask(place, client, withinMs).finally(() => {
        place.asking = null
      })
      return place.asking
    },
  }
}

const TOO_LATE: Access = {
  failure: { errorClass: 'OAUTH', message: 'The token URL of this endpoint gave no access token in time.' },
}

function within(access: Promise<Access>, ms: number): Promise<Access> {
  let timer: NodeJS.Timeout
  const late = new Promise<Access>((resolve) => {
    timer = setTimeout(resolve, ms, TOO_LATE)
  })
  return Promise.race([access, late]).finally(() => clearTimeout(timer))
}
