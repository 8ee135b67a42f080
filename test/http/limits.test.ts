import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { MOST_ENDPOINTS } from '../../src/endpoints/room.ts'
import { LIMITS } from '../../src/graphql/limits.ts'
import { HTTP_LIMITS as HTTP, inWords, SIZES } from '../../src/http/limits.ts'
import { MOST_PAGE_SIZE } from '../../src/postgres/keyset.ts'

const docs = readFileSync(new URL('../../docs/limits.md', import.meta.url), 'utf8').replace(/ +/g, ' ')

/** What docs/limits.md says of each limit; a limit without a sentence does not compile. */
const SAID: { [Name in keyof typeof HTTP]: string } = {
  headersMs: `| ${HTTP.headersMs / 1000} s, ${HTTP.requestMs / 1000} s, ${HTTP.silenceMs / 1000} s, ${HTTP.answerMs / 1000} s |`,
  requestMs: `${HTTP.requestMs / 1000} s`,
  silenceMs: `${HTTP.silenceMs / 1000} s`,
  answerMs: `${HTTP.answerMs / 1000} s`,
  // Part of how long slow requests may take, in fact.
  checkEveryMs: '408',
  connections: `| connections | ${HTTP.connections}, from one address ${HTTP.connectionsPerAddress} |`,
  connectionsPerAddress: `from one address ${HTTP.connectionsPerAddress}`,
  pipelined: `| requests sent ahead on one connection | ${HTTP.pipelined} |`,
  sockets: `| WebSockets among them | ${HTTP.sockets}, from one address ${HTTP.socketsPerAddress} |`,
  socketsPerAddress: `from one address ${HTTP.socketsPerAddress}`,
  strangersPerAddress: `| WebSockets of one address without a valid key | ${HTTP.strangersPerAddress} |`,
  strangers: `| WebSockets without a valid key, in all | ${HTTP.strangers} |`,
  initMs: `| ${HTTP.initMs / 1000} s, ${HTTP.strangerMs / 1000} s |`,
  strangerMs: `${HTTP.strangerMs / 1000} s`,
  operationsPerSocket: `| operations under way on one WebSocket | ${HTTP.operationsPerSocket} |`,
  unreadBytes: `| what a WebSocket leaves unread | ${HTTP.unreadBytes / 1024 / 1024} MiB`,
  messagesAtOnce: `of a long one as one | ${HTTP.messagesAtOnce} at once`,
  messagesPerSecond: `then ${HTTP.messagesPerSecond} a second`,
  unreadBytesInAll: `| what all connections together leave unread | ${HTTP.unreadBytesInAll / 1024 / 1024} MiB |`,
  pingMs: `| the answer to a ping of a WebSocket | ${HTTP.pingMs / 1000} s |`,
  subscriptions: `events | ${HTTP.subscriptions}, of one tenant ${HTTP.subscriptionsPerTenant}, with one key or portal session ${HTTP.subscriptionsPerCaller} |`,
  subscriptionsPerTenant: `of one tenant ${HTTP.subscriptionsPerTenant}`,
  subscriptionsPerCaller: `with one key or portal session ${HTTP.subscriptionsPerCaller}`,
  wrongKeys: `limited always: ${HTTP.wrongKeys} at once`,
  wrongKeysPerSecond: `then ${HTTP.wrongKeysPerSecond} a second`,
}

const SAID_OF_SIZES: { [Name in keyof typeof SIZES]: string } = {
  headers: `| the headers of a request, its URL among them | ${inWords(SIZES.headers)} |`,
  body: `| the body of a request | ${inWords(SIZES.body)} |`,
  message: `| a message over WebSocket | ${inWords(SIZES.message)}, ${inWords(SIZES.usualMessage)} before`,
  frames: `| frames of a message over WebSocket | ${SIZES.frames} |`,
  usualMessage: `| a message over WebSocket that is no operation | ${inWords(SIZES.usualMessage)} |`,
  strangerUnread: `MiB, ${inWords(SIZES.strangerUnread)} before a key was shown |`,
  strangerMessages: `| messages over one WebSocket before a key was shown | ${SIZES.strangerMessages} |`,
  alterable: `| a body or message with a number that parsing would alter | ${inWords(SIZES.alterable)} |`,
}

test('docs/limits.md says what holds', () => {
  for (const sentence of [...Object.values(SAID), ...Object.values(SAID_OF_SIZES)]) expect(docs).toContain(sentence)
  const { characters, tokens, brackets, depth, aliases, nestedLists, cost, entries, errors } = LIMITS
  const document = `${characters.toLocaleString('en')} characters, ${tokens.toLocaleString('en')} tokens, ${brackets} brackets`
  expect(docs).toContain(`| ${document} |`)
  expect(docs).toContain(`| ${depth}, ${aliases}, ${nestedLists} |`)
  expect(docs).toContain(`| ${cost.toLocaleString('en')} |`)
  expect(docs).toContain(`| entries of a list in an input | ${entries.toLocaleString('en')},`)
  expect(docs).toContain(`| errors told of a document and its variables | ${errors} |`)
  expect(docs).toContain(`| a page | ${MOST_PAGE_SIZE} |`)
  expect(docs).toContain(`| endpoints of one tenant | ${MOST_ENDPOINTS.toLocaleString('en')} |`)
})
