import { Resolver } from 'node:dns/promises'

/** What can be learnt of a name: its addresses, that it has none, or nothing because nobody told. */
export type Answer =
  | { kind: 'addresses'; addresses: string[]; ttlMs: number }
  | { kind: 'none'; nameExists: boolean }
  | { kind: 'failed'; cause: unknown }

// By TCP thousands of addresses may come for one name, and each of them is judged.
export const MOST_ADDRESSES = 16

export type Ask = (hostname: string, family: 4 | 6) => Promise<Answer>

export type NameServersOptions = {
  /** Where they are, like `192.0.2.53` or `[::1]:5353`, in the order of preference; those of this machine unless told. */
  servers?: () => readonly string[]
  tryMs?: number
  tries?: number
  now?: () => number
}

// Long enough that a dead server delays hardly anybody, short enough that one that is back is used again.
const SHUNNED_MS = 30_000
// As many as resolv.conf may name (resolv.conf(5), MAXNS).
const MOST_SERVERS = 3

/**
 * Asks the name servers through c-ares: sockets only, so that names that hang hold no thread that others wait for. Each
 * server has two seconds, a lone one twice; after half a second of silence the next is asked as well, so that two dead ones
 * keep nobody from the third. A server that says nothing at all is asked last for a while, and then by one look-up first.
 */
export function createNameServers({
  servers = serversOfThisMachine,
  tryMs = 2000,
  tries = 2,
  now = () => performance.now(),
}: NameServersOptions = {}): Ask {
  const heardAt = new Map<string, number>()
  const shunnedUntil = new Map<string, number>()
  const isShunned = (server: string) => (shunnedUntil.get(server) ?? 0) > now()
  const shun = (server: string) => shunnedUntil.set(server, now() + SHUNNED_MS)
  const byHope = (one: string, other: string) =>
    Number(isShunned(one)) - Number(isShunned(other)) || (heardAt.get(other) ?? 0) - (heardAt.get(one) ?? 0)

  /** The one that is preferred, and then those that are likeliest to answer. */
  const orderOf = (all: readonly string[]): string[] => {
    const first = all.find((server) => !isShunned(server))
    const rest = all.filter((server) => server !== first).sort(byHope)
    const order = first === undefined ? rest : [first, ...rest]
    return order.length === 1 ? Array<string>(tries).fill(order[0] as string) : order.slice(0, MOST_SERVERS)
  }

  const askAt = async (server: string, hostname: string, family: 4 | 6): Promise<Answer> => {
    const askedAt = now()
    const answer = await askOnce(server, hostname, family, tryMs)
    if (answer.kind !== 'failed' || !isSilence(answer.cause)) {
      heardAt.set(server, now())
      shunnedUntil.delete(server)
    } else if ((heardAt.get(server) ?? 0) < askedAt) {
      // Silent to everybody, not only about one name whose own servers may hang: nobody can push a good server back.
      shun(server)
    }
    return answer
  }

  return async (hostname, family) => {
    const order = orderOf(servers())
    const [first] = order
    // One look-up finds out whether it is back; for the others it is dead until then.
    if (first !== undefined && shunnedUntil.has(first)) shun(first)
    const asked: Promise<Answer>[] = []
    let answer: Answer = { kind: 'failed', cause: new Error('this machine has no name server') }
    for (const [index, server] of order.entries()) {
      asked.push(askAt(server, hostname, family))
      const next = order[index + 1]
      answer = await firstOf(asked, next === undefined || next === server ? tryMs * 2 : tryMs / 4)
      if (answer.kind !== 'failed') break
    }
    return answer
  }
}

/** The first answer that tells something; a failure once all have failed, or none came in time. */
function firstOf(asked: Promise<Answer>[], withinMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const late = () => resolve({ kind: 'failed', cause: new Error('the name servers have not answered yet') })
    const timer = setTimeout(late, withinMs)
    const end = (answer: Answer) => {
      clearTimeout(timer)
      resolve(answer)
    }
    for (const ask of asked) ask.then((answer) => answer.kind !== 'failed' && end(answer))
    Promise.all(asked).then((answers) => end(answers.at(-1) as Answer))
  })
}

/** From a fresh resolver each time: it reads /etc/resolv.conf, which changes while we run. */
const serversOfThisMachine = () => new Resolver().getServers()

/**
 * A resolver for one question (23 µs). One that is kept shortens its timeout to five times what answers took of late, so that
 * after a few quick ones a name that takes 1.5 s is given up (c-ares 1.34; nodejs/node#57839).
 */
async function askOnce(server: string, hostname: string, family: 4 | 6, tryMs: number): Promise<Answer> {
  // c-ares's own timeout is looked after once a second only: 2.98 s were measured for 2 s. And a truncated answer, asked for
  // again by TCP, has its time anew.
  const resolver = new Resolver({ timeout: tryMs, tries: 1 })
  const timer = setTimeout(() => resolver.cancel(), tryMs)
  try {
    resolver.setServers([server])
    const records = await resolver[family === 4 ? 'resolve4' : 'resolve6'](hostname, { ttl: true })
    const ttlMs = Math.min(...records.map(({ ttl }) => ttl)) * 1000
    return { kind: 'addresses', addresses: records.slice(0, MOST_ADDRESSES).map(({ address }) => address), ttlMs }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENODATA') return { kind: 'none', nameExists: true }
    if (code === 'ENOTFOUND' || code === 'EBADNAME') return { kind: 'none', nameExists: false }
    return { kind: 'failed', cause: error }
  } finally {
    clearTimeout(timer)
  }
}

/** Nobody is there; an answer like SERVFAIL comes from somebody who is. */
function isSilence(cause: unknown): boolean {
  const { code } = cause as NodeJS.ErrnoException
  return code === 'ECANCELLED' || code === 'ETIMEOUT' || code === 'ECONNREFUSED'
}
