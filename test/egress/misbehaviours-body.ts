import { gzipSync } from 'node:zlib'
import { onRawRequest } from '../support/receiver.ts'
import {
  AT_ONCE,
  AT_THE_DEADLINE,
  answers,
  answersAndCloses,
  CHUNKED,
  drips,
  EMPTY,
  floods,
  type Misbehaviour,
  OK,
} from './misbehaviours.ts'

const FORGED = 'HTTP/1.1 500 Forged\r\ncontent-length: 0\r\n\r\n'
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))

/** An answer with these lines among its headers, and a body of two bytes. */
const framed = (lines: string) => answers(`${OK}${lines}\r\n\r\nok`)

/** What stands after the headers, and what is said of it there. Status decides, whatever becomes of the body. */
export const BODIES: readonly Misbehaviour[] = [
  ['a body that drips', drips(`${OK}content-length: 1000\r\n\r\n`, 'x'), 'delivered', AT_THE_DEADLINE],
  ['a body that never ends', floods(`${OK}\r\n`, 'x'), 'delivered', AT_ONCE],
  ['a body that never ends, of a failure', floods('HTTP/1.1 500 x\r\n\r\n', 'x'), 500, AT_ONCE],
  ['a body without a length that never comes', answers(`${OK}\r\n`), 'delivered', AT_THE_DEADLINE],
  [
    '64 MiB in 64 KiB of gzip',
    (socket) =>
      onRawRequest(socket, () => {
        socket.write(`${OK}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`)
        socket.write(bomb)
      }),
    'delivered',
    AT_ONCE,
  ],
  ['gzip that is none', answers(`${OK}content-encoding: gzip\r\ncontent-length: 2\r\n\r\nok`), 'delivered', AT_ONCE],
  ['a length that is too long', framed('content-length: 3'), 'delivered', AT_THE_DEADLINE],
  [
    'a length that is too long, and the end',
    answersAndCloses(`${OK}content-length: 3\r\n\r\nok`),
    'delivered',
    AT_ONCE,
  ],
  ['a length that is too short', framed('content-length: 1'), 'delivered', AT_ONCE],
  ['a length below zero', framed('content-length: -2'), 'PROTOCOL', AT_ONCE],
  ['a length in words', framed('content-length: two'), 'PROTOCOL', AT_ONCE],
  ['a length in hex', framed('content-length: 0x2'), 'PROTOCOL', AT_ONCE],
  ['a length beyond 64 bits', framed('content-length: 99999999999999999999999'), 'PROTOCOL', AT_ONCE],
  ['two lengths', framed('content-length: 1\r\ncontent-length: 2'), 'PROTOCOL', AT_ONCE],
  ['two lengths in one line', framed('content-length: 1, 2'), 'PROTOCOL', AT_ONCE],
  ['a length and chunks', framed('content-length: 2\r\ntransfer-encoding: chunked'), 'PROTOCOL', AT_ONCE],
  ['chunks and a length', framed('transfer-encoding: chunked\r\ncontent-length: 2'), 'PROTOCOL', AT_ONCE],
  ['a transfer coding nobody knows', framed('transfer-encoding: banana'), 'delivered', AT_THE_DEADLINE],
  ['chunked twice', framed('transfer-encoding: chunked, chunked'), 'delivered', AT_ONCE],
  ['chunked, but not at last', framed('transfer-encoding: chunked, gzip'), 'delivered', AT_THE_DEADLINE],
  ['a chunk of no size', answers(`${CHUNKED}\r\nok\r\n0\r\n\r\n`), 'delivered', AT_ONCE],
  ['a chunk whose size is a word', answers(`${CHUNKED}zwei\r\nok\r\n0\r\n\r\n`), 'delivered', AT_ONCE],
  ['a chunk below zero', answers(`${CHUNKED}-2\r\nok\r\n0\r\n\r\n`), 'delivered', AT_ONCE],
  ['a chunk beyond 64 bits', answers(`${CHUNKED}fffffffffffffffff\r\nok`), 'delivered', AT_ONCE],
  ['a chunk longer than its size', answers(`${CHUNKED}1\r\nok\r\n0\r\n\r\n`), 'delivered', AT_ONCE],
  ['a chunk that never comes', answers(`${CHUNKED}7fffffff\r\nok`), 'delivered', AT_THE_DEADLINE],
  ['a chunk with an endless extension', floods(`${CHUNKED}2;a=`, 'x'), 'delivered', AT_ONCE],
  ['endless chunks of one byte', floods(CHUNKED, '1\r\nx\r\n'), 'delivered', AT_ONCE],
  [
    'endless chunks of a thousand bytes for one',
    floods(CHUNKED, `1;${'x'.repeat(1000)}\r\nx\r\n`),
    'delivered',
    AT_ONCE,
  ],
  ['endless trailers', floods(`${CHUNKED}0\r\n`, 'x-a: b\r\n'), 'delivered', AT_ONCE],
  ['an endless trailer', floods(`${CHUNKED}0\r\nx-a: `, 'x'), 'delivered', AT_ONCE],
  ['trailers without an end', answers(`${CHUNKED}0\r\nx-a: b\r\n`), 'delivered', AT_THE_DEADLINE],
  ['204 with a body', answers('HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok'), 'delivered', AT_ONCE],
  ['204 with a body nobody announced', answers('HTTP/1.1 204 No Content\r\n\r\nok'), 'delivered', AT_ONCE],
  ['304 with a body', answers('HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\nok'), 304, AT_ONCE],
  ['a second answer that nobody asked for', answers(EMPTY + FORGED), 'delivered', AT_ONCE],
  [
    'a second answer, later',
    (socket) =>
      onRawRequest(socket, () => {
        socket.write(EMPTY)
        // Long after the second exchange: during one it would be that one's answer, as HTTP/1.1 has it.
        setTimeout(() => socket.write(FORGED), 500)
      }),
    'delivered',
    AT_ONCE,
  ],
  ['noise after the answer', answers(`${EMPTY}and so on`), 'delivered', AT_ONCE],
  ['endless line breaks after the answer', floods(EMPTY, '\r\n'), 'delivered', AT_ONCE],
  ['endless answers', floods('', EMPTY), 'delivered', AT_ONCE],
]
