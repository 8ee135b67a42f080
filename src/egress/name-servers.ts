import { Resolver } from 'node:dns/promises'

/** What can be learnt of a name: its addresses, that it has none, or nothing because nobody told. */
export type Answer =
  | { kind: 'addresses'; addresses: string[]; ttlMs: number }
  | { kind: 'none'; nameExists: boolean }
  | { kind: 'failed'; cause: unknown }

export type Ask = (hostname: string, family: 4 | 6) => Promise<Answer>

export type NameServersOptions = {
  /** Where they are, like `192.0.2.53` or `[::1]:5353`, in the order of preference; those of this machine unless told. */
  servers?: () => readonly string[]
  tryMs?: number
  tries?: number
  now?: () => number
}

// Long enough that a dead server costs hardly anybody two seconds, short enough that one that is back is used again.
const SHUNNED_MS = 30_000

/**
 * Asks the name servers through c-ares: sockets only, so that names that hang hold no thread that others wait for. Two tries
 * of two seconds, at two servers where there are two; a server that says nothing at all is asked last for a while.
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

  const tryAt = async (server: string, hostname: string, family: 4 | 6): Promise<Answer> => {
    const askedAt = now()
    const answer = await askOnce(server, hostname, family, tryMs)
    if (answer.kind !== 'failed' || !isSilence(answer.cause)) {
      heardAt.set(server, now())
      shunnedUntil.delete(server)
    } else if ((heardAt.get(server) ?? 0) < askedAt) {
      // Silent to everybody, not only about one name whose own servers may hang: nobody can push a good server back.
      shunnedUntil.set(server, now() + SHUNNED_MS)
    }
    return answer
  }

  return async (hostname, family) => {
    const all = servers()
    const shunned = all.filter(isShunned).sort((one, other) => (heardAt.get(other) ?? 0) - (heardAt.get(one) ?? 0))
    const order = [...all.filter((server) => !isShunned(server)), ...shunned]
    let answer: Answer = { kind: 'failed', cause: new Error('this machine has no name server') }
    for (let i = 0; i < tries && order.length > 0; i++) {
      answer = await tryAt(order[i % order.length] as string, hostname, family)
      if (answer.kind !== 'failed') break
    }
    return answer
  }
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
    return { kind: 'addresses', addresses: records.map(({ address }) => address), ttlMs }
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
