import { onRawRequest } from '../support/receiver.ts'
import {
  AT_ONCE,
  AT_THE_DEADLINE,
  answers,
  answersAndCloses,
  answersAndResets,
  EMPTY,
  greets,
  LAST,
  type Misbehaviour,
  OK,
} from './misbehaviours.ts'

const HALF_A_STATUS_LINE = 'HTTP/1.1 20'
const HALF_A_HEAD = `${OK}x-a: b\r\nx-c`
const HALF_A_BODY = `${OK}content-length: 1000\r\n\r\nhalf`

/** What happens to connections: at every stage nothing, the end, or a reset. */
export const CONNECTIONS: readonly Misbehaviour[] = [
  ['accepts and says nothing', (socket) => socket.resume(), 'TIMEOUT', AT_THE_DEADLINE],
  // Not reading, it would not even notice our end of the connection.
  [
    'accepts and does not read',
    (socket) => socket.setTimeout(3000, () => socket.destroy()),
    'TIMEOUT',
    AT_THE_DEADLINE,
  ],
  ['accepts and closes', (socket) => socket.destroy(), 'RESET', AT_ONCE],
  ['accepts and half-closes', (socket) => socket.resume().end(), 'RESET', AT_ONCE],
  ['accepts and resets', (socket) => socket.resetAndDestroy(), 'RESET', AT_ONCE],
  ['resets amid the request', (socket) => socket.once('data', () => socket.resetAndDestroy()), 'RESET', AT_ONCE],
  ['closes after the request', answersAndCloses(''), 'RESET', AT_ONCE],
  ['resets after the request', (socket) => onRawRequest(socket, () => socket.resetAndDestroy()), 'RESET', AT_ONCE],
  ['closes amid the status line', answersAndCloses(HALF_A_STATUS_LINE), 'RESET', AT_ONCE],
  ['resets amid the status line', answersAndResets(HALF_A_STATUS_LINE), 'RESET', AT_ONCE],
  ['stops amid the status line', answers(HALF_A_STATUS_LINE), 'TIMEOUT', AT_THE_DEADLINE],
  ['closes amid the headers', answersAndCloses(HALF_A_HEAD), 'RESET', AT_ONCE],
  ['resets amid the headers', answersAndResets(HALF_A_HEAD), 'RESET', AT_ONCE],
  ['stops amid the headers', answers(HALF_A_HEAD), 'TIMEOUT', AT_THE_DEADLINE],
  ['closes amid the body', answersAndCloses(HALF_A_BODY), 'delivered', AT_ONCE],
  ['resets amid the body', answersAndResets(HALF_A_BODY), 'delivered', AT_ONCE],
  ['stops amid the body', answers(HALF_A_BODY), 'delivered', AT_THE_DEADLINE],
  ['closes after the answer, unannounced', answersAndCloses(EMPTY), 'delivered', AT_ONCE],
  ['resets after the answer, unannounced', answersAndResets(EMPTY), 'delivered', AT_ONCE],
  ['answers before it is asked', greets(LAST), 'delivered', AT_ONCE],
  [
    'answers at the first bytes of the request',
    (socket) => socket.once('data', () => socket.write(LAST)),
    'delivered',
    AT_ONCE,
  ],
  [
    'refuses at the first bytes and closes',
    (socket) => socket.once('data', () => socket.end('HTTP/1.1 413 x\r\ncontent-length: 0\r\n\r\n')),
    413,
    AT_ONCE,
  ],
  ['greets like SSH', greets('SSH-2.0-OpenSSH_9.2\r\n'), 'PROTOCOL', AT_ONCE],
  ['greets like SMTP', greets('220 mail.example ESMTP\r\n'), 'PROTOCOL', AT_ONCE],
  ['answers like Redis', answers("-ERR unknown command 'POST'\r\n"), 'PROTOCOL', AT_ONCE],
  ['answers with an alert of TLS', answersAndCloses(Buffer.from([0x15, 3, 3, 0, 2, 2, 22])), 'PROTOCOL', AT_ONCE],
  [
    'answers with noise',
    answers(Buffer.from(Array.from({ length: 999 }, (_, i) => (i * 197 + 131) % 256))),
    'PROTOCOL',
    AT_ONCE,
  ],
  // RFC 9113, section 3.4: what a server of HTTP/2 says first, SETTINGS.
  ['answers like HTTP/2', greets(Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100])), 'PROTOCOL', AT_ONCE],
  ['greets with the preface of HTTP/2', greets('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), 'PROTOCOL', AT_ONCE],
]
