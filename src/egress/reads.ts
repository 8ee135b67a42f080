import type { Socket } from 'node:net'
import { bytesReceived } from './handshake.ts'

/** How much undici may parse of one head, in its own way of counting: more than ever reaches it, see below. */
export const MOST_PARSED_HEADER_BYTES = 128 * 1024

// Names and values are judged by the exchange, 16 KiB of them. This is for all of a head, with the status line, what
// separates headers, and line breaks before it. undici's own limit is no help: beyond it, it makes an error with a stack
// for every header that is still in the 64 KiB of one read, and 10,000 small ones held everybody up for 100 ms.
const MOST_HEAD_BYTES = 32 * 1024
// undici does not tell of chunk sizes, their extensions, trailers, or line breaks after them. In chunks of eight bytes, which
// are small even for a server that flushes too often, they make a body not quite twice as long.
const MOST_READ_PER_BODY_BYTE = 2
// Below TLS there is the overhead of records, and there are records that never become bytes of an answer.
const MOST_CARRIED_PER_BODY_BYTE = 4

/** What comes in on a socket in answer to one request, counted before the parser sees it: it swallows much without a word. */
export type Reads = {
  /** A status line and headers have come in: what follows is the next head or, after the final one, the body. */
  headEnded(): void
  /** Whether the wire carries more than an answer could be made of, though little or nothing of it can be read. */
  flooded(): boolean
}

type ReadsOptions = { maxBodyBytes: number; bodyBytes: () => number; onRead: () => void; onTooMuch: () => void }

export function countReads(socket: Socket, { maxBodyBytes, bodyBytes, onRead, onTooMuch }: ReadsOptions): Reads {
  const carriedBefore = bytesReceived(socket)
  // All that came; of it, what came before the present head or the body, and before the last that was of any use.
  let [bytes, before, useful] = [0, 0, 0]
  let body = 0
  tellOfReads(socket, (all) => {
    // The end of the stream is read as well, and is no byte.
    if (all === bytes) return
    // By what has been parsed: of what is just coming in, nobody knows yet what it is.
    if (bodyBytes() > body) useful = bytes
    body = bodyBytes()
    const idle = bytes - useful > MOST_HEAD_BYTES
    const padded = bytes - before > MOST_HEAD_BYTES + body * MOST_READ_PER_BODY_BYTE
    bytes = all
    onRead()
    if (idle || padded) onTooMuch()
  })
  return {
    headEnded() {
      before = bytes
      useful = bytes
    },
    flooded: () => bytesReceived(socket) - carriedBefore > maxBodyBytes * MOST_CARRIED_PER_BODY_BYTE,
  }
}

/** Between two exchanges nobody asked for anything: what comes then is no answer, and line breaks would be swallowed. */
export function expectNothing(socket: Socket): void {
  tellOfReads(socket, (bytes) => {
    if (bytes > 0) socket.destroy()
  })
}

type Reader = { since: number; onRead: (bytes: number) => void }

const readers = new WeakMap<Socket, Reader>()

/** Sets who is told of a socket's reads, before undici is: one at a time, by one listener for the life of the socket. */
function tellOfReads(socket: Socket, onRead: Reader['onRead']): void {
  const reader = readers.get(socket)
  if (reader !== undefined) {
    Object.assign(reader, { since: socket.bytesRead, onRead })
    return
  }
  const first: Reader = { since: socket.bytesRead, onRead }
  readers.set(socket, first)
  // Not by `on`, with which Node would begin to read: undici's own listener has it reading already.
  socket.prependListener('readable', () => first.onRead(socket.bytesRead - first.since))
}
