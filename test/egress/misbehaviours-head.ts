import {
  AT_ONCE,
  AT_THE_DEADLINE,
  answers,
  answersAndCloses,
  drips,
  EMPTY,
  floods,
  latin1,
  type Misbehaviour,
  OK,
} from './misbehaviours.ts'

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const HINTS = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'

/** An answer of nothing but these words for version, status and reason. */
const status = (line: string) => answers(`${line}\r\ncontent-length: 0\r\n\r\n`)
/** An answer with these lines among its headers. */
const header = (lines: string) => answers(latin1(`${OK}${lines}\r\ncontent-length: 0\r\n\r\n`))

/** What stands before the body: status lines and headers. */
export const HEADS: readonly Misbehaviour[] = [
  ['status 000', status('HTTP/1.1 000 Nothing'), 'PROTOCOL', AT_ONCE],
  ['status 099', status('HTTP/1.1 099 Nearly'), 'PROTOCOL', AT_ONCE],
  // RFC 9110, section 15: a client takes an unknown class for a 5xx.
  ['status 600', status('HTTP/1.1 600 Beyond'), 600, AT_ONCE],
  ['status 999', status('HTTP/1.1 999 Request denied'), 999, AT_ONCE],
  ['status 2000', status('HTTP/1.1 2000 OK'), 'PROTOCOL', AT_ONCE],
  ['status 20', status('HTTP/1.1 20 OK'), 'PROTOCOL', AT_ONCE],
  ['status -200', status('HTTP/1.1 -200 OK'), 'PROTOCOL', AT_ONCE],
  ['status OK', status('HTTP/1.1 OK'), 'PROTOCOL', AT_ONCE],
  ['no status', status('HTTP/1.1'), 'PROTOCOL', AT_ONCE],
  ['no reason', status('HTTP/1.1 200'), 'delivered', AT_ONCE],
  ['no version', status('200 OK'), 'PROTOCOL', AT_ONCE],
  ['http in lower case', status('http/1.1 200 OK'), 'PROTOCOL', AT_ONCE],
  ['HTTP/0.9', answersAndCloses('delivered, thank you\n'), 'PROTOCOL', AT_ONCE],
  ['HTTP/1.0', answersAndCloses('HTTP/1.0 200 OK\r\n\r\nall of it'), 'delivered', AT_ONCE],
  ['HTTP/2.0 in words', status('HTTP/2.0 200 OK'), 'delivered', AT_ONCE],
  ['HTTP/3.7', status('HTTP/3.7 200 OK'), 'PROTOCOL', AT_ONCE],
  ['a space before the status line', status(' HTTP/1.1 200 OK'), 'PROTOCOL', AT_ONCE],
  ['line breaks before the status line', answers(`\r\n\r\n${EMPTY}`), 'delivered', AT_ONCE],
  ['endless line breaks before the status line', floods('', '\r\n'), 'PROTOCOL', AT_ONCE],
  ['a status line of 1 MiB', status(`HTTP/1.1 200 ${'x'.repeat(1024 * 1024)}`), 'HEADERS_TOO_LARGE', AT_ONCE],
  ['an endless status line', floods('HTTP/1.1 200 ', 'x'), 'HEADERS_TOO_LARGE', AT_ONCE],
  ['headers, one byte every 50 ms', drips(OK, 'x-a: b\r\n'), 'TIMEOUT', AT_THE_DEADLINE],
  ['a header of 200 KB', header(`x-a: ${'a'.repeat(200_000)}`), 'HEADERS_TOO_LARGE', AT_ONCE],
  ['10,000 small headers', header('x-a: b\r\n'.repeat(10_000).trimEnd()), 'HEADERS_TOO_LARGE', AT_ONCE],
  ['endless headers', floods(OK, 'x-a: b\r\n'), 'HEADERS_TOO_LARGE', AT_ONCE],
  ['an endless name of a header', floods(OK, 'x'), 'HEADERS_TOO_LARGE', AT_ONCE],
  ['a header without a colon', header('nonsense'), 'PROTOCOL', AT_ONCE],
  ['a header without a name', header(': b'), 'PROTOCOL', AT_ONCE],
  ['a space before the colon', header('x-a : b'), 'PROTOCOL', AT_ONCE],
  ['NUL in a value', header('x-a: b\0c'), 'PROTOCOL', AT_ONCE],
  ['NUL in a name', header('x\0a: b'), 'PROTOCOL', AT_ONCE],
  // RFC 9112, section 5.2, would have it read as a space; llhttp takes it for what smuggling is done with.
  ['a folded value', header('x-a: b\r\n  c'), 'PROTOCOL', AT_ONCE],
  ['lines that end with LF alone', answers('HTTP/1.1 200 OK\ncontent-length: 0\n\n'), 'PROTOCOL', AT_ONCE],
  ['lines that end with CR alone', answers('HTTP/1.1 200 OK\rcontent-length: 0\r\r'), 'PROTOCOL', AT_ONCE],
  ['a value that is no UTF-8', header('x-a: \xff\xfe\xc3\x28'), 'delivered', AT_ONCE],
  [
    'two Retry-After',
    answers('HTTP/1.1 503 x\r\nretry-after: 1\r\nRetry-After: 2\r\ncontent-length: 0\r\n\r\n'),
    503,
    AT_ONCE,
  ],
  ['100 Continue that nobody asked for', answers(CONTINUE + EMPTY), 'PROTOCOL', AT_ONCE],
  ['endless 100 Continue', floods('', CONTINUE), 'PROTOCOL', AT_ONCE],
  [
    '101 Switching Protocols',
    answers('HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'),
    'PROTOCOL',
    AT_ONCE,
  ],
  ['101 without an upgrade', answers(`HTTP/1.1 101 x\r\n\r\n${EMPTY}`), 'PROTOCOL', AT_ONCE],
  ['103 Early Hints', answers(HINTS + EMPTY), 'delivered', AT_ONCE],
  ['103 Early Hints and nothing more', answers(HINTS), 'TIMEOUT', AT_THE_DEADLINE],
  ['endless 103 Early Hints', floods('', HINTS), 'PROTOCOL', AT_ONCE],
  ['17 times 102 Processing', answers('HTTP/1.1 102 Processing\r\n\r\n'.repeat(17)), 'PROTOCOL', AT_ONCE],
]
