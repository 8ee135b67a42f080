import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import ipaddr from 'ipaddr.js'
import { onTestFinished } from 'vitest'

/** What a name server says of a name: addresses, an error, or nothing ever (`silent`). */
export type Reply = {
  addresses?: string[]
  ttl?: number
  /** The name that the addresses are said to be those of. */
  alias?: string
  error?: keyof typeof ERRORS
  delayMs?: number
  silent?: boolean
  /** By UDP, so that it is asked for again by TCP. */
  truncated?: boolean
}

export type NameServer = {
  /** For `servers`, like `127.0.0.1:40053`. */
  address: string
  /** Each question, like `hooks.test A`. */
  asked: string[]
}

const ERRORS = { FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 }
const TYPES = { 4: 1, 6: 28, alias: 5 }
const ANSWER = 0x8180
const TRUNCATED = 0x0200

/** A real name server on loopback, by UDP and TCP, gone when the test has finished. Addresses of the other family are left out. */
export async function startNameServer(replyTo: (name: string, family: 4 | 6) => Reply): Promise<NameServer> {
  const asked: string[] = []
  const answer = (query: Buffer, send: (message: Buffer) => void, byUdp: boolean) => {
    const { name, family } = questionOf(query)
    asked.push(`${name} ${family === 4 ? 'A' : 'AAAA'}`)
    const reply = replyTo(name, family)
    if (reply.silent) return
    setTimeout(() => send(messageOf(query, family, reply, byUdp)), reply.delayMs ?? 0)
  }

  const tcp = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data) => {
      const send = (message: Buffer) => socket.write(Buffer.concat([uint16(message.length), message]))
      answer(data.subarray(2), send, false)
    })
  }).listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  const { port } = tcp.address() as AddressInfo
  const udp = createSocket('udp4')
  udp.on('message', (query, from) => {
    answer(query, (message) => udp.send(message, from.port, from.address, () => {}), true)
  })
  udp.bind(port, '127.0.0.1')
  await once(udp, 'listening')
  let closed = false
  const send = udp.send.bind(udp) as (...args: unknown[]) => void
  // What is answered late may come after the end of the test.
  udp.send = ((...args: unknown[]) => (closed ? undefined : send(...args))) as typeof udp.send
  onTestFinished(() => {
    closed = true
    udp.close()
    tcp.close()
  })
  return { address: `127.0.0.1:${port}`, asked }
}

/** RFC 1035, section 4.1: a header of twelve bytes, then the labels of the name, its type and its class. */
function questionOf(query: Buffer): { name: string; family: 4 | 6; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), family: query.readUInt16BE(at + 1) === TYPES[6] ? 6 : 4, end: at + 5 }
}

function messageOf(query: Buffer, family: 4 | 6, reply: Reply, byUdp: boolean): Buffer {
  const { name, end } = questionOf(query)
  const { addresses = [], ttl = 60, alias, error, truncated } = reply
  const cut = truncated === true && byUdp
  const wanted = cut ? [] : addresses.filter((address) => ipaddr.parse(address).kind() === `ipv${family}`)
  const data = wanted.map((address) => Buffer.from(ipaddr.parse(address).toByteArray()))
  const records = data.map((bytes) => record(alias ?? name, TYPES[family], ttl, bytes))
  if (alias !== undefined) records.unshift(record(name, TYPES.alias, ttl, wireName(alias)))
  const flags = ANSWER | (cut ? TRUNCATED : 0) | (error === undefined ? 0 : ERRORS[error])
  const header = Buffer.concat([query.subarray(0, 2), ...[flags, 1, records.length, 0, 0].map(uint16)])
  return Buffer.concat([header, query.subarray(12, end), ...records])
}

function record(name: string, type: number, ttl: number, data: Buffer): Buffer {
  const seconds = Buffer.alloc(4)
  seconds.writeUInt32BE(ttl)
  return Buffer.concat([wireName(name), uint16(type), uint16(1), seconds, uint16(data.length), data])
}

const wireName = (name: string) =>
  Buffer.concat([
    ...name.split('.').map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')),
    Buffer.alloc(1),
  ])

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
