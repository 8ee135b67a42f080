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
  const body = masked(text, words, result.truncated)
  return { ...result, headers, body: body === text ? result.body : Buffer.from(body, 'latin1') }
}

// What writers of JSON escape besides what they must: what is not ASCII, or what means something in HTML, or both and more.
const ESCAPED = [/[^\x20-\x7e]/g, /[<>&]/g, /[^\x20-\x7e]|[<>&'+`]/g]

/** As text, as JSON writes it and as URLs and forms do; the bytes of each, one character each. */
function spellingsOf(secret: string): string[] {
  const plain = JSON.stringify(secret).slice(1, -1)
  const escaped = ESCAPED.flatMap((what) => [
    plain.replace(what, unicodeEscape),
    plain.replace(what, (each) => unicodeEscape(each).toUpperCase().replace('U', 'u')),
  ])
  const inJson = [plain, ...escaped].flatMap((text) => [text, text.replaceAll('/', '\\/')])
  const inUrls = [encodeURIComponent(secret.toWellFormed()), String(new URLSearchParams([['', secret]])).slice(1)]
  const lower = inUrls.map((text) => text.replace(/%../g, (each) => each.toLowerCase()))
  return [secret, ...inJson, ...inUrls, ...lower].map((text) => Buffer.from(text).toString('latin1'))
}

const unicodeEscape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`

/** Each is looked for in the text as it came: one that begins or ends with another would not be found in what that one left. */
function masked(text: string, words: readonly string[], truncated = false): string {
  const hidden = words.flatMap((word) => [...placesOf(word, text), ...(truncated ? placeAtEnd(word, text) : [])])
  if (hidden.length === 0) return text
  const units = text.split('')
  for (const [from, to] of hidden) units.fill(STAR, from, to)
  return units.join('')
}

function placesOf(word: string, text: string): [from: number, to: number][] {
  const places: [number, number][] = []
  for (let at = text.indexOf(word); at !== -1; at = text.indexOf(word, at + word.length)) {
    places.push([at, at + word.length])
  }
  return places
}

/** Of a secret that is cut off at the end, where its beginning is. */
function placeAtEnd(word: string, text: string): [from: number, to: number][] {
  const beginning = word.slice(0, SHORTEST)
  const next = (from: number) => text.indexOf(beginning, from)
  for (let at = next(Math.max(0, text.length - word.length + 1)); at !== -1; at = next(at + 1)) {
    if (word.startsWith(text.slice(at))) return [[at, text.length]]
  }
  return []
}
