import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import type { EgressResult } from '../egress/request.ts'

/** What an attempt's result means for its delivery. */
export type Outcome = {
  succeeded: boolean
  status: number | null
  errorClass: AttemptErrorClass | null
  /** Plain advice for the consumer; null when delivered. */
  errorMessage: string | null
  /** How long the receiver asked to be left alone, capped; null when it did not, or not intelligibly. */
  retryAfterMs: number | null
  /** 410: the endpoint wants nothing any more. */
  gone: boolean
}

type Answer = Pick<EgressResult, 'status' | 'headers' | 'failure'>

const RETRY_AFTER_CAP_MS = 24 * 60 * 60 * 1000

/** Status decides: 2xx is delivered, whatever became of the body. */
export function outcomeOf({ status, headers, failure }: Answer, now: Date): Outcome {
  if (status === null) {
    const { errorClass, message } = failure ?? {
      errorClass: 'INTERNAL' as const,
      message: 'The attempt came to nothing.',
    }
    return { succeeded: false, status: null, errorClass, errorMessage: message, retryAfterMs: null, gone: false }
  }
  if (status >= 200 && status <= 299) {
    return { succeeded: true, status, errorClass: null, errorMessage: null, retryAfterMs: null, gone: false }
  }
  const retryAfterMs = retryAfterOf(headers, now)
  return {
    succeeded: false,
    status,
    errorClass: 'HTTP_STATUS',
    errorMessage: adviceOn(status, headers) + whenAgain(retryAfterMs),
    retryAfterMs,
    gone: status === 410,
  }
}

const ADVICE: Record<number, string> = {
  400: 'The endpoint answered 400: it could not read the request. Check the format it expects.',
  401: 'The endpoint answered 401: it did not take the request for genuine. Check that it has the signing secret of this endpoint, and that its credentials here, if it wants any, are right; its answer may say more.',
  403: 'The endpoint answered 403. Check its signing secret, its credentials if it wants any, and any firewall before it; its answer may say more.',
  404: 'The endpoint answered 404: nothing is at that path. Check the URL.',
  405: 'The endpoint answered 405: it does not take this method at that path. Check the URL and the method.',
  410: 'The endpoint answered 410 Gone: it wants nothing more. Anything but a test disables it for that: mend its URL and resume it, or delete it.',
  413: 'The endpoint answered 413: it takes no body of this size. Raise its limit.',
  415: 'The endpoint answered 415: it does not take this content type. Check the format it expects.',
  429: 'The endpoint answered 429: it wants to be called less often. Lower its `ratePerSecond` or `maxInFlight`, or raise its limit.',
  502: 'The endpoint answered 502: its proxy got no proper answer from the server behind it.',
  503: 'The endpoint answered 503: it is overloaded or down for maintenance.',
  504: 'The endpoint answered 504: its proxy waited too long for the server behind it.',
}

function adviceOn(status: number, headers: Answer['headers']): string {
  if (status >= 300 && status <= 399) {
    const location = valuesOf(headers, 'location')[0]
    if (status === 304) return 'The endpoint answered 304, which is no answer to a webhook. It must answer 200 to 299.'
    // Shown only when it is plain text of a sane length; the recorded headers have it in full.
    const to = location !== undefined && /^[\x21-\x7e]{1,500}$/.test(location) ? ` and points to ${location}` : ''
    return `The endpoint answered ${status}${to}. Redirects are never followed: update the URL of the endpoint.`
  }
  if (ADVICE[status] !== undefined) return ADVICE[status]
  if (status >= 500 && status <= 599)
    return `The endpoint answered ${status}: something went wrong in it. See its logs, and its answer in this record.`
  return `The endpoint answered ${status}. Only 200 to 299 count as delivered.`
}

function whenAgain(retryAfterMs: number | null): string {
  if (retryAfterMs === null) return ''
  const atMost = retryAfterMs === RETRY_AFTER_CAP_MS ? ', the most that is respected' : ''
  return ` It asked to be left alone for ${Math.ceil(retryAfterMs / 1000)} s (Retry-After)${atMost}.`
}

/** Of several `Retry-After` the longest: each was meant as a floor. */
function retryAfterOf(headers: Answer['headers'], now: Date): number | null {
  const delays = valuesOf(headers, 'retry-after').map((value) => delayOf(value.trim(), now))
  const longest = Math.max(0, ...delays)
  return longest === 0 ? null : Math.min(longest, RETRY_AFTER_CAP_MS)
}

// RFC 9110, section 5.6.7: the form in use, and the two obsolete ones that a recipient must still read.
const IMF_FIXDATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/
const RFC_850 = /^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/
const ASCTIME = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/

/** Milliseconds from now, 0 for what is past, negative or no `Retry-After` at all (RFC 9110, section 10.2.3). */
function delayOf(value: string, now: Date): number {
  if (/^\d+$/.test(value)) return Number(value) * 1000
  const date = IMF_FIXDATE.test(value) || RFC_850.test(value) ? value : ASCTIME.test(value) ? `${value} GMT` : null
  const time = date === null ? Number.NaN : Date.parse(date)
  return Number.isNaN(time) ? 0 : Math.max(0, time - now.getTime())
}

function valuesOf(headers: Answer['headers'], name: string): string[] {
  return headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value)
}
