import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** Bytes on a socket: what no friendly client would send. */

export type Answer = {
  /** 0 when the connection was closed without an answer. */
  status: number
  text: string
  /** The code of the first error, or of the first user error, wherever it stands. */
  code: string | null
}

/** Sends bytes, a piece after the other, and reads until an answer is complete or the connection is closed. */
export function speak(port: number, pieces: Iterable<string | Buffer>, deadlineMs = 5000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const done = () => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answerIn(text))
    }
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no answer within ${deadlineMs} ms, but ${JSON.stringify(text.slice(0, 200))}`))
    }, deadlineMs)
    socket.on('error', () => {})
    socket.on('close', done)
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (isComplete(text)) done()
    })
    send(socket, pieces[Symbol.iterator]())
  })
}

/** As fast as the other side takes it. */
function send(socket: Socket, pieces: Iterator<string | Buffer>): void {
  for (;;) {
    const { done, value } = pieces.next()
    if (done || socket.destroyed) return
    if (!socket.write(value)) {
      socket.once('drain', () => send(socket, pieces))
      return
    }
  }
}

function isComplete(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return false
  const head = text.slice(0, end)
  if (/^HTTP\/1.1 (204|101)/.test(head)) return true
  if (/^HTTP\/1.1 100/.test(head)) return isComplete(text.slice(end + 4))
  const length = /content-length: (\d+)/i.exec(head)?.[1]
  if (length !== undefined) return text.length >= end + 4 + Number(length)
  return /transfer-encoding: chunked/i.test(head) && text.endsWith('0\r\n\r\n')
}

function answerIn(text: string): Answer {
  return {
    status: Number(/^(?:HTTP\/1\.1 100 .*\r\n\r\n)?HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0),
    text,
    code: /"code":"([A-Z_]+)"/.exec(text)?.[1] ?? null,
  }
}

/** A request as bytes; headers that are null are left out. */
export function request(
  body: string | Buffer,
  headers: Record<string, string | null> = {},
  line = 'POST /graphql HTTP/1.1',
): Buffer {
  const all: Record<string, string | null> = {
    host: 'localhost',
    'content-type': 'application/json',
    accept: 'application/graphql-response+json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]))
  return Buffer.concat([Buffer.from([line, ...lines, '', ''].join('\r\n'), 'latin1'), Buffer.from(body)])
}

export type RawSocket = {
  /** Text messages that came. */
  messages: string[]
  /** The status of the handshake; 101 when it became a WebSocket. */
  status: number
  /** The body of a handshake that was refused. */
  refusal: string
  /** Resolves with the close code: 1006 when there was none. */
  closed: Promise<number>
  socket: Socket
  send(...frames: (Buffer | string)[]): void
}

const HANDSHAKE = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }

/** A WebSocket by hand: strings are sent as text frames, buffers as they are. */
export function openSocket(port: number, headers: Record<string, string | null> = {}): Promise<RawSocket> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const closed = Promise.withResolvers<number>()
    const raw: RawSocket = {
      messages: [],
      status: 0,
      refusal: '',
      closed: closed.promise,
      socket,
      send: (...frames) => {
        for (const one of frames) socket.write(typeof one === 'string' ? frame(1, one) : one)
      },
    }
    let bytes = Buffer.alloc(0)
    let code = 1006
    socket.on('error', () => {})
    socket.on('close', () => {
      closed.resolve(code)
      resolve(raw)
    })
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      if (raw.status === 0) {
        const end = bytes.indexOf('\r\n\r\n')
        if (end === -1) return
        raw.status = Number(/^HTTP\/1\.1 (\d+)/.exec(bytes.toString('latin1'))?.[1] ?? 0)
        bytes = bytes.subarray(end + 4)
        if (raw.status === 101) resolve(raw)
      }
      if (raw.status !== 101) {
        raw.refusal = bytes.toString()
        return
      }
      for (let read = readFrame(bytes); read !== null; read = readFrame(bytes)) {
        bytes = bytes.subarray(read.length)
        if (read.opcode === 1) raw.messages.push(read.payload.toString())
        if (read.opcode === 8) {
          code = read.payload.length >= 2 ? read.payload.readUInt16BE() : 1005
          closed.resolve(code)
        }
      }
    })
    onTestFinished(() => {
      socket.destroy()
    })
    const key = randomBytes(16).toString('base64')
    const protocol = { 'sec-websocket-key': key, 'sec-websocket-protocol': 'graphql-transport-ws' }
    const all = { 'content-type': null, accept: null, 'content-length': null, ...HANDSHAKE, ...protocol, ...headers }
    socket.write(request('', all, 'GET /graphql HTTP/1.1'))
  })
}

type FrameOptions = { fin?: boolean; mask?: boolean; reserved?: number; length?: bigint }

/** One frame as a client sends it (RFC 6455, section 5.2). `length`: what it says, whatever it has. */
export function frame(opcode: number, payload: string | Buffer = '', options: FrameOptions = {}): Buffer {
  const { fin = true, mask = true, reserved = 0, length } = options
  const data = Buffer.from(payload)
  const said = length ?? BigInt(data.length)
  const head = Buffer.alloc(said > 65_535n ? 10 : said > 125n ? 4 : 2)
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode
  head[1] = (mask ? 0x80 : 0) | (said > 65_535n ? 127 : said > 125n ? 126 : Number(said))
  if (said > 65_535n) head.writeBigUInt64BE(said, 2)
  else if (said > 125n) head.writeUInt16BE(Number(said), 2)
  // A mask of zeros is a mask.
  return Buffer.concat([head, mask ? Buffer.alloc(4) : Buffer.alloc(0), data])
}

function readFrame(bytes: Buffer): { opcode: number; payload: Buffer; length: number } | null {
  if (bytes.length < 2) return null
  const short = (bytes[1] as number) & 0x7f
  const start = short === 126 ? 4 : short === 127 ? 10 : 2
  if (bytes.length < start) return null
  const size = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
  if (bytes.length < start + size) return null
  return { opcode: (bytes[0] as number) & 0x0f, payload: bytes.subarray(start, start + size), length: start + size }
}
