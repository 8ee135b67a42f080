import { request } from './raw.ts'

export type Case = {
  what: string
  /** The bytes to send, in pieces. */
  send(key: string): Iterable<string | Buffer>
  /** The status of the answer; 0: closed without one. */
  status: number
  /** The code in it; null where it has none, as when it never came to GraphQL, or nothing is wrong. */
  code: string | null
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const VIEWER = '{"query":"{ viewer { name } }"}'

/** A whole request with a valid key. */
function request_(
  what: string,
  body: string | Buffer,
  expected: [number, string | null],
  headers: Record<string, string | null> = {},
  line?: string,
): Case {
  const [status, code] = expected
  return { what, send: (key) => [request(body, { ...bearer(key), ...headers }, line)], status, code }
}

/** A document, with variables, and a valid key. */
function document_(what: string, query: unknown, expected: [number, string | null], variables?: unknown): Case {
  return request_(what, JSON.stringify({ query, variables }), expected)
}

/** Bytes as they are; `KEY` stands for a valid key. */
function bytes(what: string, text: string, expected: [number, string | null]): Case {
  const [status, code] = expected
  return { what, send: (key) => [Buffer.from(text.replaceAll('KEY', key), 'latin1')], status, code }
}

const BAD = [400, 'BAD_REQUEST'] as [number, string]
const UNSUPPORTED = [415, 'BAD_REQUEST'] as [number, string]
const TOO_LARGE = [400, 'DOCUMENT_TOO_LARGE'] as [number, string]
const INVALID = [400, 'GRAPHQL_VALIDATION_FAILED'] as [number, string]
const INPUT = [400, 'INVALID_INPUT'] as [number, string]
/** A mistake that was found by a resolver: the answer has data as well. */
const MISTAKE = [200, 'INVALID_INPUT'] as [number, string]
const FINE = [200, null] as [number, null]
const BROKEN = [400, null] as [number, null]

const many = (count: number, text: (index: number) => string) =>
  Array.from({ length: count }, (_, i) => text(i)).join(' ')
const nested = (levels: number, open: string, close: string) => open.repeat(levels) + close.repeat(levels)

function* megabytes(count: number): Generator<Buffer> {
  for (let i = 0; i < count * 16; i++) yield Buffer.alloc(65_536, 0x20)
}

function* chunked(count: number): Generator<Buffer | string> {
  for (const piece of megabytes(count)) yield Buffer.concat([Buffer.from('10000\r\n'), piece, Buffer.from('\r\n')])
  yield '0\r\n\r\n'
}

const PUBLISH = 'mutation ($p: JSON) { eventPublish(input: { type: "a", payload: $p }) { userErrors { code } } }'
const CREATE = 'mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { userErrors { code } } }'
const HEAD = 'POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer KEY\r\ncontent-type: application/json\r\n'

/** What is sent, and how it is answered. */
export const CASES: Case[] = [
  // What a web page can send to any server without asking.
  request_('a form', 'query=%7Bviewer%7Bname%7D%7D', UNSUPPORTED, {
    'content-type': 'application/x-www-form-urlencoded',
  }),
  request_('a multipart form', '--x\r\n\r\n--x--', UNSUPPORTED, { 'content-type': 'multipart/form-data; boundary=x' }),
  request_('plain text', VIEWER, UNSUPPORTED, { 'content-type': 'text/plain' }),
  request_('no content type', VIEWER, UNSUPPORTED, { 'content-type': null }),
  request_('two content types', VIEWER, UNSUPPORTED, { 'content-type': 'text/plain, application/json' }),
  request_('a body that is compressed', VIEWER, UNSUPPORTED, { 'content-encoding': 'gzip' }),
  request_(
    'a mutation by GET',
    '',
    [405, 'BAD_REQUEST'],
    {},
    'GET /graphql?query=mutation%7BendpointPause(id:%22x%22)%7BuserErrors%7Bcode%7D%7D%7D HTTP/1.1',
  ),
  request_('PUT', VIEWER, [405, 'BAD_REQUEST'], {}, 'PUT /graphql HTTP/1.1'),
  request_('TRACE', '', [405, 'BAD_REQUEST'], {}, 'TRACE /graphql HTTP/1.1'),
  request_('CONNECT', '', [0, null], {}, 'CONNECT internal:5432 HTTP/1.1'),
  bytes('a method that does not exist', 'HACK /graphql HTTP/1.1\r\nhost: x\r\n\r\n', BROKEN),
  // Who asks.
  request_('no key', VIEWER, [401, 'UNAUTHENTICATED'], { authorization: null }),
  request_('a key that is wrong', VIEWER, [401, 'UNAUTHENTICATED'], { authorization: 'Bearer prk_wrong' }),
  request_('a key of 10,000 letters', VIEWER, [401, 'UNAUTHENTICATED'], {
    authorization: `Bearer ${'k'.repeat(10_000)}`,
  }),
  request_('another scheme', VIEWER, [401, 'UNAUTHENTICATED'], { authorization: 'Basic YTpi' }),
  {
    what: 'a key in the URL',
    send: (key) => [request(VIEWER, {}, `POST /graphql?authorization=Bearer%20${key}&access_token=${key} HTTP/1.1`)],
    status: 401,
    code: 'UNAUTHENTICATED',
  },
  // Bodies.
  { what: '20 MB', send: bodyOf(20, 'content-length'), status: 413, code: 'BAD_REQUEST' },
  { what: '20 MB that never say so', send: bodyOf(20, 'chunked'), status: 413, code: 'BAD_REQUEST' },
  request_('a list of operations', `[${VIEWER}]`, BAD),
  request_('no JSON', '{"query":', BAD),
  request_('nothing', '', BAD),
  request_('null', 'null', BAD),
  request_('5 million brackets', '['.repeat(5_000_000), BAD),
  request_('no UTF-8', Buffer.from('{"query":"{ viewer { name } } # \xff\xfe"}', 'latin1'), BAD),
  request_('UTF-16', Buffer.from(VIEWER, 'utf16le'), BAD),
  request_('U+0000 in the document', '{"query":"{ viewer { name\\u0000 } }"}', [400, 'GRAPHQL_PARSE_FAILED']),
  request_('a lone surrogate in the document', '{"query":"{ viewer { name } } # \\ud800"}', [
    400,
    'GRAPHQL_PARSE_FAILED',
  ]),
  request_('__proto__ for a whole request', '{"__proto__":{"query":"{ viewer { name } }"}}', BAD),
  request_('one name twice: the last is meant', `{"query":"{ nonsense }","query":"{ viewer { name } }"}`, FINE),
  request_('a document that is a number', '{"query":5}', BAD),
  request_('a document that is an object', '{"query":{"kind":"Document"}}', BAD),
  request_('variables that are a list', '{"query":"{ viewer { name } }","variables":[1]}', BAD),
  request_('variables that are a text', '{"query":"{ viewer { name } }","variables":"{}"}', BAD),
  request_('a persisted query', '{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}', BAD),
  // Documents.
  document_('no GraphQL', '{{{', [400, 'GRAPHQL_PARSE_FAILED']),
  document_('2,000 aliases', `{ ${many(2000, (i) => `a${i}: viewer { id }`)} }`, TOO_LARGE),
  document_(
    'a depth of 60',
    `{ events { nodes ${'{ deliveries { nodes { event '.repeat(20)} { id } ${'} } }'.repeat(20)} } }`,
    TOO_LARGE,
  ),
  document_('1,000 brackets', `{ a${nested(1000, '{ a ', '}')} }`, TOO_LARGE),
  document_('brackets that close nothing', '}'.repeat(50_000), TOO_LARGE),
  document_('700 directives', `{ viewer { id ${'@skip(if: false) '.repeat(700)} } }`, INVALID),
  document_('unknown directives', `{ viewer { id ${'@a '.repeat(1500)} } }`, INVALID),
  document_(
    'fragments in a circle',
    '{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { ...A }',
    INVALID,
  ),
  document_('a fragment that spreads itself', 'fragment F on Query { ...F } { ...F }', INVALID),
  document_('fragments that multiply', `{ delivery(id: "dlv_x") { ...F0 } } ${multiplying(8)}`, TOO_LARGE),
  document_('one field 4,000 times', `{ viewer { ${'id '.repeat(4000)} } }`, TOO_LARGE),
  document_('10,000 tokens', `{ viewer { ${'id '.repeat(10_000)} } }`, TOO_LARGE),
  document_(
    'fields that collide, dozens of them',
    `{ viewer { ${many(24, (i) => `a: id a: name a: ${i % 2 ? 'id' : 'name'}`)} } }`,
    INVALID,
  ),
  document_('a comment of 200,000 letters', `{ viewer { id } } # ${'x'.repeat(200_000)}`, TOO_LARGE),
  document_(
    'four lists in each other',
    '{ events { nodes { deliveries { nodes { attempts { nodes { delivery { attempts { nodes { id } } } } } } } } } }',
    TOO_LARGE,
  ),
  document_(
    '100 payloads three times',
    '{ events(first: 100) { nodes { a: payloadJson b: payloadJson c: payloadJson } } }',
    TOO_LARGE,
  ),
  document_(
    '1,200 operations',
    many(1200, (i) => `query Q${i} { viewer { id } }`),
    TOO_LARGE,
  ),
  // Operation names.
  document_('no name for one of two operations', 'query A { viewer { id } } query B { viewer { id } }', BAD),
  request_('a name that no operation has', '{"query":"query A { viewer { id } }","operationName":"B"}', BAD),
  request_(
    'the name of a fragment',
    '{"query":"{ ...F } fragment F on Query { viewer { id } }","operationName":"F"}',
    BAD,
  ),
  request_('a name that every object has', '{"query":"query A { viewer { id } }","operationName":"__proto__"}', BAD),
  request_('a name that is a list', '{"query":"query A { viewer { id } }","operationName":["A"]}', BAD),
  // Values.
  document_('a page of 2147483647', '{ endpoints(first: 2147483647) { nodes { id } } }', MISTAKE),
  document_('a page beyond 32 bits', '{ endpoints(first: 99999999999) { nodes { id } } }', INPUT),
  document_(
    'a page of 2147483647 as a variable',
    'query ($n: Int) { endpoints(first: $n) { nodes { id } } }',
    MISTAKE,
    { n: 2147483647 },
  ),
  document_('a page of -1', '{ endpoints(last: -1) { nodes { id } } }', MISTAKE),
  document_('a cursor that was made up', '{ endpoints(after: "AAAA") { nodes { id } } }', MISTAKE),
  document_('a cursor with SQL', `{ endpoints(after: "' or 1=1 --") { nodes { id } } }`, MISTAKE),
  document_('a feed cursor that was made up', 'query { attempts(after: "\\u0000") { nodes { id } } }', MISTAKE),
  document_(
    'a million wrong values',
    'query ($t: [DeliveryState!]) { deliveries(filter: { states: $t }) { nodes { id } } }',
    INPUT,
    { t: Array.from({ length: 1_000_000 }, () => 5) },
  ),
  document_(
    'a value of 4 MB where a state belongs',
    'query ($t: [DeliveryState!]) { deliveries(filter: { states: $t }) { nodes { id } } }',
    INPUT,
    { t: ['X'.repeat(4_000_000)] },
  ),
  document_('a field with a name of 4 MB', CREATE, INPUT, {
    input: { url: 'https://x.example', ['x'.repeat(4_000_000)]: 1 },
  }),
  document_('100,000 fields that are unknown', CREATE, INPUT, {
    input: Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`f${i}`, i])),
  }),
  document_('500,000 types', 'query ($t: [String!]) { events(filter: { types: $t }) { nodes { id } } }', INPUT, {
    t: Array.from({ length: 500_000 }, () => 'a.b'),
  }),
  request_(
    '__proto__ among the variables',
    `{"query":"query ($id: ID!) { node(id: $id) { id } }","variables":{"__proto__":{"id":"evt_x"}}}`,
    INPUT,
  ),
  request_(
    '__proto__ in an input',
    `{"query":${JSON.stringify(CREATE)},"variables":{"input":{"url":"https://x.example","__proto__":{"method":"PUT"}}}}`,
    INPUT,
  ),
  request_(
    'constructor in an input',
    `{"query":${JSON.stringify(CREATE)},"variables":{"input":{"url":"https://x.example","constructor":{"prototype":1}}}}`,
    INPUT,
  ),
  request_(
    'a payload of 100,000 levels',
    `{"query":${JSON.stringify(PUBLISH)},"variables":{"p":${nested(100_000, '[', ']')}}}`,
    [200, 'INVALID_PAYLOAD'],
  ),
  document_('U+0000 in a tenant', '{ endpoints(tenant: "a\\u0000b") { nodes { id } } }', [200, 'NOT_FOUND']),
  request_(
    'a lone surrogate in a description',
    `{"query":${JSON.stringify(CREATE)},"variables":{"input":{"url":"https://x.example","description":"\\ud800"}}}`,
    MISTAKE,
  ),
  request_(
    'a number that would change',
    `{"query":${JSON.stringify(PUBLISH)},"variables":{"p":${'9'.repeat(100_000)}}}`,
    [200, 'NUMBER_WOULD_CHANGE'],
  ),
  // HTTP itself.
  bytes(
    'a length and chunks at once',
    `${HEAD}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    BROKEN,
  ),
  bytes('two lengths', `${HEAD}content-length: 4\r\ncontent-length: 5\r\n\r\n{}{}`, BROKEN),
  bytes('a negative length', `${HEAD}content-length: -1\r\n\r\n`, BROKEN),
  bytes('a length that is no number', `${HEAD}content-length: 0x10\r\n\r\n`, BROKEN),
  bytes('a chunk of no size', `${HEAD}transfer-encoding: chunked\r\n\r\nzz\r\n`, [400, null]),
  bytes('a chunk of 2^64', `${HEAD}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n`, [400, null]),
  bytes('chunks in a coat', `${HEAD}transfer-encoding: chunked, identity\r\n\r\n`, BROKEN),
  bytes('a space before the colon', 'POST /graphql HTTP/1.1\r\nhost : x\r\n\r\n', BROKEN),
  bytes('a header on two lines', 'POST /graphql HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n', BROKEN),
  bytes('U+0000 in a header', 'POST /graphql HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n', BROKEN),
  bytes('100 KB of headers', `POST /graphql HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(100_000)}\r\n\r\n`, [431, null]),
  bytes('5,000 headers', `POST /graphql HTTP/1.1\r\nhost: x\r\n${'a: b\r\n'.repeat(5000)}\r\n`, [431, null]),
  bytes('a URL of 50 KB', `GET /graphql?query=${'a'.repeat(50_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, [431, null]),
  bytes('no host', `POST /graphql HTTP/1.1\r\ncontent-length: 0\r\n\r\n`, BROKEN),
  request_('a host that is none', VIEWER, BAD, { host: '[' }),
  request_('a whole URL as the target', VIEWER, [404, 'NOT_FOUND'], {}, 'POST http://evil.example/graphql HTTP/1.1'),
  request_('a target with two slashes', VIEWER, [404, 'NOT_FOUND'], {}, 'POST //graphql HTTP/1.1'),
  request_('a way around', VIEWER, [404, 'NOT_FOUND'], {}, 'POST /x/../graphql HTTP/1.1'),
  request_('OPTIONS *', '', [404, 'NOT_FOUND'], {}, 'OPTIONS * HTTP/1.1'),
  bytes('HTTP/0.9', 'GET /graphql\r\n\r\n', [401, 'UNAUTHENTICATED']),
  bytes('HTTP/3', 'GET /graphql HTTP/3.0\r\nhost: x\r\n\r\n', BROKEN),
  bytes('HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', BROKEN),
  request_('an upgrade to h2c, as Java asks for', VIEWER, FINE, {
    connection: 'Upgrade, HTTP2-Settings',
    upgrade: 'h2c',
    'http2-settings': 'AAMAAABkAAQCAAAAAAIAAAAA',
  }),
  bytes('TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', BROKEN),
  request_('Expect: 100-continue with a wrong key', VIEWER, [401, 'UNAUTHENTICATED'], {
    expect: '100-continue',
    authorization: 'Bearer prk_wrong',
  }),
  request_('Expect: 100-continue with a valid key', VIEWER, FINE, { expect: '100-continue' }),
  request_('another expectation', VIEWER, [417, null], { expect: 'miracles' }),
]

function bodyOf(count: number, how: 'content-length' | 'chunked') {
  return function* (key: string): Generator<string | Buffer> {
    const length = how === 'chunked' ? null : String(count * 1024 * 1024)
    yield request('', {
      ...bearer(key),
      'content-length': length,
      ...(length ? {} : { 'transfer-encoding': 'chunked' }),
    })
    yield* how === 'chunked' ? chunked(count) : megabytes(count)
  }
}

/** Five fields a level, each of which spreads the next: 5^levels fields in a document of a kilobyte. */
function multiplying(levels: number): string {
  const fragments = Array.from({ length: levels }, (_, level) => {
    const fields = many(5, (i) => `a${level}${i}: lastAttempt { delivery { ...F${level + 1} } }`)
    return `fragment F${level} on Delivery { ${fields} }`
  })
  return `${fragments.join(' ')} fragment F${levels} on Delivery { id }`
}
