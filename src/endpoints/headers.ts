import { type Optional, wrong } from '../input.ts'
import { readAll, readEach } from '../mistake.ts'

export type Header = readonly [name: string, value: string]

/** A custom header as a caller gives it; without a value, or with `MASK` for one, it keeps the value it has. */
export type HeaderInput = { name: string; value?: Optional<string> }

/** What is shown in the place of a value that nobody is shown. */
export const MASK = '********'

const MOST_HEADERS = 32
const LONGEST_HEADER = 4096

// security.md, "Payloads and names"; and those that Postrider itself decides: a second one would contradict it.
const RESERVED = new Set([
  'host',
  'content-length',
  'content-type',
  'content-encoding',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'accept-encoding',
  'user-agent',
  'date',
])
// The last: CloudEvents, where an endpoint's format is that.
const RESERVED_PREFIXES = ['proxy-', 'webhook-', 'ce-']
// RFC 9110, section 5.6.2: a token.
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/

/** A custom header that is well-formed; without a value of its own, it is to keep the one it has. */
export type GivenHeader = readonly [name: string, value: string | null]

/** The custom headers that a caller wants, checked but for `withKeptValues`. Mistakes name the header, never its value. */
export function readHeaders(input: readonly HeaderInput[], path: readonly string[]): GivenHeader[] {
  if (input.length > MOST_HEADERS) {
    throw wrong(path, `An endpoint has at most ${MOST_HEADERS} headers; these are ${input.length}.`)
  }
  const seen = new Set<string>()
  return readEach(input, ({ name, value }, index) => {
    const at = [...path, String(index)]
    const given = value ?? MASK
    const read = readAll({
      name: () => {
        const key = checkHeaderName(name, [...at, 'name'])
        if (seen.has(key))
          throw wrong([...at, 'name'], `${quoted(name)} stands in the list twice; case makes no difference.`)
        seen.add(key)
      },
      value: () => (given === MASK ? null : checkValue(name, given, [...at, 'value'])),
    })
    return [name, read.value]
  })
}

/**
 * The same with the values that are to stay as they are: those of `kept`, which the endpoint has; null where none may stay
 * because the URL changes.
 */
export function withKeptValues(
  given: readonly GivenHeader[],
  path: readonly string[],
  kept: readonly Header[] | null,
): Header[] {
  return readEach(given, ([name, value], index) => [
    name,
    value ?? keptValue(name.toLowerCase(), name, kept, [...path, String(index), 'value']),
  ])
}

/** Answers the name in lower case. Mistakes: INVALID_INPUT for what is no name, or is reserved. */
export function checkHeaderName(name: string, path: readonly string[]): string {
  if (!NAME.test(name)) {
    throw wrong(path, 'The name of a header is 1 to 256 letters, digits and hyphens, like "X-Api-Key".')
  }
  const key = name.toLowerCase()
  if (!RESERVED.has(key) && !RESERVED_PREFIXES.some((prefix) => key.startsWith(prefix))) return key
  throw wrong(path, `${quoted(name)} is reserved: Postrider sets it itself, or it would change how a request is read.`)
}

function checkValue(name: string, value: string, path: string[]): string {
  // Never with the value: it is a secret more often than not.
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value)) {
    throw wrong(path, `The value of ${quoted(name)} must be visible ASCII, without spaces at its ends, and not empty.`)
  }
  const size = name.length + value.length
  if (size <= LONGEST_HEADER) return value
  throw wrong(path, `${quoted(name)} and its value have ${size} characters; at most ${LONGEST_HEADER} are allowed.`)
}

function keptValue(key: string, name: string, kept: readonly Header[] | null, path: string[]): string {
  if (kept === null) {
    throw wrong(path, `The URL changes: give the value of ${quoted(name)} again to have it sent there.`)
  }
  const header = kept.find(([each]) => each.toLowerCase() === key)
  if (header !== undefined) return header[1]
  throw wrong(path, `The endpoint has no header ${quoted(name)} whose value could be kept: give its value.`)
}

/** What cannot be a name may hold the value as well. */
const quoted = (name: string) => (NAME.test(name) ? JSON.stringify(name) : 'this header')
