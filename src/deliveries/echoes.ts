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
  const body = masked(text, words)
  const whole = result.truncated ? withoutBeginning(body, words) : body
  return { ...result, headers, body: whole === text ? result.body : Buffer.from(whole, 'latin1') }
}

/** As text, and as JSON writes it; the bytes of either, one character each. */
function spellingsOf(secret: string): string[] {
  const inJson = JSON.stringify(secret).slice(1, -1)
  return [secret, inJson, inJson.replaceAll('/', '\\/')].map((text) => Buffer.from(text).toString('latin1'))
}

function masked(text: string, words: readonly string[]): string {
  return words.reduce((left, word) => left.replaceAll(word, STAR.repeat(word.length)), text)
}

/** Of a secret that is cut off at the end, its beginning. */
function withoutBeginning(text: string, words: readonly string[]): string {
  for (const word of words) {
    for (let length = Math.min(word.length - 1, text.length); length >= SHORTEST; length--) {
      if (text.endsWith(word.slice(0, length))) return text.slice(0, -length) + STAR.repeat(length)
    }
  }
  return text
}
