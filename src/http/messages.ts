import { refusal } from '../graphql/errors.ts'
import { ALTERED, parseExactly } from './json.ts'
import { type HttpLimits, inWords, SIZES } from './limits.ts'

/** A message of a WebSocket, or why the socket is closed because of it. */
export type Read = { message: object } | { code: number; reason: string }

const BAD_REQUEST = 4400
const TOO_MANY = 4429

// The payloads of operations that hold a number which parsing altered.
const altered = new WeakSet<object>()

/**
 * Reads the messages of one WebSocket, before anybody is asked whether they are welcome: so many of them, and only operations
 * may be long. `now` is monotonic, in milliseconds.
 */
export function createMessageReader(
  { messagesPerSecond, messagesAtOnce }: Pick<HttpLimits, 'messagesPerSecond' | 'messagesAtOnce'>,
  now: () => number = () => performance.now(),
): (bytes: Buffer) => Read {
  let left = messagesAtOnce
  let at = now()
  return (bytes) => {
    left = Math.min(messagesAtOnce, left + ((now() - at) / 1000) * messagesPerSecond)
    at = now()
    // A long one takes as long as many.
    left -= Math.ceil(bytes.length / SIZES.usualMessage)
    if (left < 0) return { code: TOO_MANY, reason: 'Too many messages: publish in batches, or over HTTP' }
    return read(bytes)
  }
}

function read(bytes: Buffer): Read {
  let parsed: ReturnType<typeof parseExactly>
  try {
    parsed = parseExactly(String(bytes))
  } catch {
    return { code: BAD_REQUEST, reason: 'Invalid message received' }
  }
  const { value, isAltered } = parsed
  if (typeof value !== 'object' || value === null) return { code: BAD_REQUEST, reason: 'Invalid message received' }
  const { type, payload } = value as { type?: unknown; payload?: unknown }
  if (bytes.length > SIZES.usualMessage && type !== 'subscribe') {
    return { code: BAD_REQUEST, reason: `Only operations may be longer than ${inWords(SIZES.usualMessage)}` }
  }
  if (isAltered && typeof payload === 'object' && payload !== null) altered.add(payload)
  return { message: value }
}

/** Throws for an operation that holds a number which parsing altered. */
export function refuseAltered(payload: object): void {
  if (altered.has(payload)) throw refusal('BAD_REQUEST', `The message ${ALTERED}`)
}
