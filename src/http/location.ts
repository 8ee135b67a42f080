import type { IncomingMessage } from 'node:http'

/**
 * The path a request asks for, without a slash at its end. By hand, for what comes over the wire may be no URL at all, and
 * `new URL` would throw.
 */
export function pathOf({ url = '/' }: IncomingMessage): string {
  const path = url.split('?', 1)[0] as string
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}

/** The query string of a request, found in the same way. */
export function searchOf({ url = '/' }: IncomingMessage): URLSearchParams {
  const mark = url.indexOf('?')
  return new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1))
}
