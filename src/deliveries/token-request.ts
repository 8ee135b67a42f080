import { Buffer } from 'node:buffer'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import type { EgressFailure, EgressResult } from '../egress/request.ts'
import type { OAuth2Client } from '../endpoints/authorization.ts'

/** An access token and how long it is used, in milliseconds from when it was asked for; 0: not again. */
export type AccessToken = { token: string; usableMs: number }

/** What is sent to a token endpoint (RFC 6749, section 4.4.2). */
export function tokenRequestOf({ clientId, clientSecret, scopes, audience, authentication }: OAuth2Client): {
  headers: [string, string][]
  body: Buffer
} {
  const form = new URLSearchParams({ grant_type: 'client_credentials' })
  if (scopes.length > 0) form.set('scope', scopes.join(' '))
  if (audience !== null) form.set('audience', audience)
  const headers: [string, string][] = [
    ['content-type', 'application/x-www-form-urlencoded'],
    ['accept', 'application/json'],
  ]
  if (authentication === 'BODY') {
    form.set('client_id', clientId)
    form.set('client_secret', clientSecret)
  } else {
    // Section 2.3.1: both form-encoded first, so that a colon in the id does not end it.
    const pair = [clientId, clientSecret].map(formEncoded).join(':')
    headers.push(['authorization', `Basic ${Buffer.from(pair).toString('base64')}`])
  }
  return { headers, body: Buffer.from(form.toString()) }
}

const formEncoded = (text: string) => new URLSearchParams({ x: text }).toString().slice('x='.length)

// RFC 6749, section 5.2. Anything else may be a quotation of what was sent.
const ERRORS = new Set([
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
])
// Where the failure is not the credentials', its class stays: an address that is refused, and what is our own affair.
const OTHERS: ReadonlySet<AttemptErrorClass> = new Set(['BLOCKED_ADDRESS', 'PROXY', 'INTERNAL'])

/** The token in an answer, or why there is none, in words that hold nothing of what was sent or came back. */
export function readTokenAnswer({ status, failure, body, truncated }: EgressResult): AccessToken | EgressFailure {
  if (status === null) {
    const { errorClass, message } = failure ?? { errorClass: 'INTERNAL' as const, message: 'It came to nothing.' }
    const shown = OTHERS.has(errorClass) ? errorClass : ('OAUTH' as const)
    return { errorClass: shown, message: `No access token came from the token URL of this endpoint. ${message}` }
  }
  if (status < 200 || status > 299) return refused(status, fieldsOf(body))
  if (truncated) return noToken(status, 'its answer is larger than 16 KiB, broken off, or never ends')
  const fields = fieldsOf(body)
  if (fields === null) return noToken(status, 'its answer is not the JSON object that RFC 6749, section 5.1 asks for')
  const { access_token: token, token_type: type, expires_in: expiresIn } = fields
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    return noToken(status, 'its answer has no `access_token` of visible ASCII characters')
  }
  if (type !== undefined && (typeof type !== 'string' || type.toLowerCase() !== 'bearer')) {
    return noToken(status, 'its token is of another type than Bearer')
  }
  return { token, usableMs: usableMs(expiresIn) }
}

const UNTOLD_MS = 5 * 60_000
const LONGEST_MS = 24 * 3_600_000
const MARGIN_MS = 60_000

/** A minute less than it lives, or nine tenths of it: an attempt and its token are under way for a while. */
function usableMs(expiresIn: unknown): number {
  const seconds = typeof expiresIn === 'string' && /^\d{1,12}$/.test(expiresIn) ? Number(expiresIn) : expiresIn
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return UNTOLD_MS
  const livesMs = Math.min(Math.max(0, seconds * 1000), LONGEST_MS)
  return livesMs - Math.min(MARGIN_MS, livesMs / 10)
}

function refused(status: number, fields: Record<string, unknown> | null): EgressFailure {
  const error = typeof fields?.error === 'string' && ERRORS.has(fields.error) ? ` (${fields.error})` : ''
  if (status >= 300 && status <= 399) {
    return noToken(status, 'redirects are never followed: change `tokenUrl` to where it points')
  }
  if (status === 429) return noToken(status, 'it wants to be asked less often')
  if (status >= 500) return noToken(status, 'something went wrong in it')
  return noToken(status, `check client id, client secret, scopes and audience${error}`)
}

function noToken(status: number, why: string): EgressFailure {
  return {
    errorClass: 'OAUTH',
    message: `The token URL of this endpoint answered ${status} and no access token: ${why}.`,
  }
}

function fieldsOf(body: Buffer): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(body.toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}
