import type { Socket } from 'node:net'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import { onRawRequest, startRawReceiver } from '../support/receiver.ts'
import { HOST } from './certificates.ts'

/** What a server does with a connection. */
export type Does = (socket: Socket) => void

/** What an attempt must come to: delivered, the status that decided, or the class of what went wrong. */
export type Comes = 'delivered' | number | AttemptErrorClass

/** Name, what the server does, what must come of it, and after how many milliseconds at the latest. */
export type Misbehaviour = readonly [name: string, does: Does, comes: Comes, withinMs: number]

/** Decided by what the server does, and not by the deadline; next to nothing, but not on a busy machine. */
export const AT_ONCE = 3000
/** Only the deadline ends it, whatever that is. */
export const AT_THE_DEADLINE = Number.POSITIVE_INFINITY

/** Serves a misbehaviour on loopback. */
export async function misbehave([, does]: Misbehaviour, scheme: 'http' | 'https') {
  const receiver = await startRawReceiver(does)
  const host = scheme === 'https' ? HOST : '127.0.0.1'
  return { ...receiver, url: `${scheme}://${host}:${receiver.port}/hook` }
}

type Bytes = string | Buffer

/** Answers each request with these bytes, and keeps the connection. */
export const answers =
  (bytes: Bytes): Does =>
  (socket) =>
    onRawRequest(socket, () => socket.write(bytes))

export const answersAndCloses =
  (bytes: Bytes): Does =>
  (socket) =>
    onRawRequest(socket, () => socket.end(bytes))

/** A moment later, so that what was written is read first. */
export const answersAndResets =
  (bytes: Bytes): Does =>
  (socket) =>
    onRawRequest(socket, () => socket.write(bytes, () => setTimeout(() => socket.resetAndDestroy(), 20)))

/** Writes these bytes, and then those again and again, as fast as they are taken. */
export const floods =
  (first: Bytes, more: Bytes): Does =>
  (socket) =>
    onRawRequest(socket, () => {
      socket.write(first)
      pour(socket, Buffer.from(more))
    })

/** In pieces of 64 KiB: a flood of tiny writes is slower than one that a hostile server would send. */
export function pour(socket: Socket, bytes: Buffer): void {
  const much = Buffer.concat(Array<Buffer>(Math.ceil(65_536 / bytes.length)).fill(bytes))
  const more = () => {
    while (!socket.destroyed && socket.write(much));
  }
  socket.on('drain', more)
  more()
}

/** Writes these bytes, and then those, one byte at a time. */
export const drips =
  (first: Bytes, more: string, everyMs = 50): Does =>
  (socket) =>
    onRawRequest(socket, () => {
      let index = 0
      socket.write(first)
      const timer = setInterval(() => socket.write(more[index++ % more.length] as string), everyMs)
      socket.on('close', () => clearInterval(timer))
    })

/** Speaks before it is spoken to. */
export const greets =
  (bytes: Bytes): Does =>
  (socket) => {
    socket.resume()
    socket.write(bytes)
  }

export const latin1 = (text: string) => Buffer.from(text, 'latin1')

export const OK = 'HTTP/1.1 200 OK\r\n'
export const LAST = `${OK}connection: close\r\ncontent-length: 0\r\n\r\n`
export const EMPTY = `${OK}content-length: 0\r\n\r\n`
export const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`
