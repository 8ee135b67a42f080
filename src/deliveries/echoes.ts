import { Buffer } from 'node:buffer'
import type { EgressResult } from '../egress/request.ts'
import type { EndpointCredentials } from '../endpoints/credentials.ts'

// What is shorter guards nothing, and occurs by chance.
const SHORTEST = 8
const STAR = '*'

/** The values among some credentials that nobody may read in what comes back. */
export function secretsIn({
  headers,
  authorization,
}: Pick<EndpointCredentials, 'headers' | 'authorization'>): string[] {
  const secrets = headers.map(([, value]) => value)
  if (authorization === null) return secrets
  if ('bearer' in authorization) return [...secrets, authorization.bearer.token]
  if ('oauth2ClientCredentials' in authorization) {
    return [...secrets, authorization.oauth2ClientCredentials.clientSecret]
  }
  const { username, password } = authorization.basic
  return [...secrets, password, Buffer.from(`${username}:${password}`).toString('base64')]
}

/**
 * An answer without the secrets that its receiver repeats in it, as some do with the headers of a request: each is a run of
 * stars of the same length. It is recorded, and read by people who may not see them.
 */
export function withoutEchoes(result: EgressResult, secrets: readonly string[]): EgressResult {
  const words = [...new Set(secrets.flatMap(spellingsOf))].filter((word) => word.length >= SHORTEST)
  if (words.length === 0 || result.status === null) return result
  const headers = result.headers.map(([name, value]): [string, string] => [name, masked(value, words)])
  const text = result.body.toString('latin1')
  const whole = masked(text, words, result.truncated)
  return { ...result, headers, body: whole === text ? result.body : Buffer.from(whole, 'latin1') }
}

/** As text, as JSON writes it, and as it stands in a URL; the bytes of each, one character each. */
function spellingsOf(secret: string): string[] {
  const inJson = JSON.stringify(secret).slice(1, -1)
  const spellings = [secret, inJson, inJson.replaceAll('/', '\\/'), encodeURIComponent(secret)]
  return spellings.map((text) => Buffer.from(text).toString('latin1'))
}

type Stretch = { from: number; to: number }

/** Stars for every stretch that is one of the words: one may hold another, or begin in it. */
function masked(text: string, words: readonly string[], isCutOff = false): string {
  const stretches = words.flatMap((word) => [...placesOf(word, text), ...(isCutOff ? beginningAtEnd(word, text) : [])])
  let shown = ''
  let done = 0
  for (const { from, to } of stretches.sort((one, other) => one.from - other.from)) {
    if (to <= done) continue
    const begin = Math.max(from, done)
    shown += text.slice(done, begin) + STAR.repeat(to - begin)
    done = to
  }
  return shown + text.slice(done)
}

function placesOf(word: string, text: string): Stretch[] {
  const places: Stretch[] = []
  for (let from = text.indexOf(word); from !== -1; from = text.indexOf(word, from + 1)) {
    places.push({ from, to: from + word.length })
  }
  return places
}

/** Of a word that is cut off where the text is, what there is of it. */
function beginningAtEnd(word: string, text: string): Stretch[] {
  for (let length = Math.min(word.length - 1, text.length); length >= SHORTEST; length--) {
    if (text.endsWith(word.slice(0, length))) return [{ from: text.length - length, to: text.length }]
  }
  return []
}
