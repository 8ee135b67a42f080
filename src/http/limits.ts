/**
 * What one process takes from its clients over HTTP and WebSocket, so that none of them can wear it out for the others. What a document
 * may ask for is in LIMITS of src/graphql/limits.ts; for people, all of it is in docs/limits.md.
 */
export type HttpLimits = {
  /** How long the headers of a request may take, and all of it, and a silence on a connection. */
  headersMs: number
  requestMs: number
  silenceMs: number
  /** How often slow requests are looked for. */
  checkEveryMs: number
  /** How long an answer may take until it has been read; live subscriptions are none. */
  answerMs: number
  /** TCP connections, WebSockets among them. */
  connections: number
  connectionsPerAddress: number
  /** Requests of one connection that were sent before the ones before them were answered. */
  pipelined: number
  sockets: number
  socketsPerAddress: number
  /** WebSockets that have not shown a valid key yet: of one address, in all (then the oldest ends), and how long they may be so. */
  strangersPerAddress: number
  strangers: number
  strangerMs: number
  initMs: number
  operationsPerSocket: number
  /** Messages of one WebSocket: so many at once, and so many a second from then on; each 16 KiB of a long one count as one. */
  messagesAtOnce: number
  messagesPerSecond: number
  /** What may wait to be read by the other side of a WebSocket. */
  unreadBytes: number
  /** The same of all WebSockets and of all answers over HTTP together. */
  unreadBytesInAll: number
  /** How often a WebSocket is asked for a sign of life; it has until the next time to give it. */
  pingMs: number
  /** Live subscriptions, over WebSocket and SSE together. */
  subscriptions: number
  subscriptionsPerTenant: number
  subscriptionsPerCaller: number
  /** Wrong keys from one address: so many at once, and so many a second from then on. */
  wrongKeys: number
  wrongKeysPerSecond: number
}

/** What holds unless a test says otherwise. */
export const HTTP_LIMITS: HttpLimits = {
  headersMs: 10_000,
  requestMs: 60_000,
  silenceMs: 60_000,
  checkEveryMs: 2000,
  answerMs: 120_000,
  connections: 4000,
  connectionsPerAddress: 1000,
  pipelined: 32,
  sockets: 2000,
  socketsPerAddress: 500,
  strangersPerAddress: 50,
  strangers: 500,
  strangerMs: 15_000,
  initMs: 10_000,
  operationsPerSocket: 100,
  messagesAtOnce: 1000,
  messagesPerSecond: 500,
  unreadBytes: 32 * 1024 * 1024,
  unreadBytesInAll: 256 * 1024 * 1024,
  pingMs: 12_000,
  subscriptions: 2000,
  subscriptionsPerTenant: 1000,
  subscriptionsPerCaller: 500,
  wrongKeys: 100,
  wrongKeysPerSecond: 200,
}

/** How large may be what a client sends or leaves unread, mostly in bytes: the same wherever Postrider runs, in tests too. */
export const SIZES = {
  /** The headers of a request, its URL among them. */
  headers: 16 * 1024,
  body: 5 * 1024 * 1024,
  /** A message over WebSocket, and the frames it may come in. Large batches go over HTTP. */
  message: 1024 * 1024,
  frames: 256,
  /** A message over WebSocket that is no operation, or that comes before a valid key was shown. */
  usualMessage: 16 * 1024,
  /** What a WebSocket may leave unread before a valid key was shown. */
  strangerUnread: 256 * 1024,
  /** How many messages a WebSocket may send before it shows a valid key. */
  strangerMessages: 100,
  /**
   * Characters of a body or message with numbers that parsing would alter: to tell which, they block the event loop for 90 ms.
   * Without looking for them, 5 MiB take as long.
   */
  alterable: 128 * 1024,
}

/** For people: `5 MiB`, `16 KiB`. */
export function inWords(bytes: number): string {
  return bytes >= 1024 * 1024 ? `${bytes / 1024 / 1024} MiB` : `${bytes / 1024} KiB`
}
