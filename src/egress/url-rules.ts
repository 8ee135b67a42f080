import { Mistake } from '../mistake.ts'

export const LONGEST_URL = 2048

/**
 * Whether a URL may be an endpoint's, judged when it is written. Returns the normalised form, which is stored, shown and
 * sent to; throws INVALID_URL with what is wrong and how to put it right.
 */
export function checkUrl(text: string, path: readonly string[]): string {
  const fault = (message: string) => new Mistake('INVALID_URL', [...path], message)
  if (text.length > LONGEST_URL) {
    throw fault(`The URL has ${text.length} characters; at most ${LONGEST_URL} are allowed.`)
  }
  // What the URL parser would silently take out or turn round: the caller means something else than we would send to.
  if (/\p{Cc}/u.test(text)) throw fault('The URL holds a tab, a line break or another control character.')
  if (text.includes('\\')) throw fault('The URL holds a backslash; URLs are written with "/".')
  if (text !== text.trim()) throw fault('The URL begins or ends with a space.')
  if (!URL.canParse(text)) {
    throw fault(`${quote(text)} is not a complete URL; one looks like "https://example.com/webhooks".`)
  }
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw fault(`The URL begins with "${url.protocol}"; only http: and https: can be delivered to.`)
  }
  // Before anything that repeats the URL: a password is never echoed.
  if (hasUserinfo(text, url)) {
    throw fault('The URL holds a user name or password before "@"; take it out.')
  }
  if (text.includes('#')) throw fault(`The URL ends with a fragment ("#…"), which is never sent; take it out.`)
  if (!/^https?:\/\/[^/]/i.test(text)) throw fault('The URL must begin with "http://" or "https://" and a host name.')
  if (url.href.length > LONGEST_URL) {
    throw fault(`Written out in full the URL has ${url.href.length} characters; at most ${LONGEST_URL} are allowed.`)
  }
  return url.href
}

function hasUserinfo(text: string, url: URL): boolean {
  const authority = /^[^:]*:\/*([^/?#]*)/.exec(text)?.[1] ?? ''
  return url.username !== '' || url.password !== '' || authority.includes('@')
}

/** The text for an error message, short and without what may stand before an "@". */
function quote(text: string): string {
  const harmless = text.includes('@') ? text.replace(/^.*@/s, '…@') : text
  return JSON.stringify(harmless.length > 100 ? `${harmless.slice(0, 100)}…` : harmless)
}
