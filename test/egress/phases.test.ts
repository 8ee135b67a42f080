import { expect, test } from 'vitest'
import { authority, HOST, selfSigned, valid } from './certificates.ts'
import { answers, EMPTY, greets } from './misbehaviours.ts'
import { behindTls } from './misbehaviours-tls.ts'
import { egressOf, rawReceiverOf } from './world.ts'

const RESOLVES_MS = 410
const DEADLINE_MS = 1000

const slowly = async () => {
  await new Promise((resolve) => setTimeout(resolve, RESOLVES_MS))
  return ['127.0.0.1']
}
const never = () => new Promise<never>(() => {})
const nobody = async () => Promise.reject(new Error('ENOTFOUND'))

test('each phase is told, and each that failed as far as it went', async () => {
  const good = await rawReceiverOf(behindTls(valid, answers(EMPTY)))
  const silent = await rawReceiverOf((socket) => socket.resume())
  const untrusted = await rawReceiverOf(behindTls(selfSigned))
  /** Milliseconds rounded down to 400, so that a busy machine does not matter; null where it never came to that. */
  const phases = async (url: string, resolve = slowly) => {
    const egress = egressOf({ resolve, tls: { ca: authority } })
    const { timings, remoteAddress } = await egress.post(url, { deadlineMs: DEADLINE_MS })
    const { dnsMs, connectMs, tlsMs, firstByteMs } = timings
    return [...[dnsMs, connectMs, tlsMs, firstByteMs].map((ms) => ms && Math.floor(ms / 400) * 400), remoteAddress]
  }

  const told = await Promise.all([
    phases(`https://${HOST}:${good.port}/`),
    phases(`https://${HOST}:${good.port}/`, never),
    phases(`https://${HOST}:${good.port}/`, nobody),
    phases(`http://${HOST}:1/`),
    phases(`https://${HOST}:${silent.port}/`),
    phases(`https://${HOST}:${untrusted.port}/`),
    phases(`http://${HOST}:${silent.port}/`),
    phases(`http://127.0.0.1:${silent.port}/`),
    phases('http://127.0.0.1:1/'),
    phases('http://10.0.0.1/'),
  ])

  expect(told).toEqual([
    [400, 0, 0, 0, '127.0.0.1'],
    [800, null, null, null, null],
    [0, null, null, null, null],
    [400, 0, null, null, null],
    [400, 0, 400, null, '127.0.0.1'],
    [400, 0, 0, null, '127.0.0.1'],
    [400, 0, null, null, '127.0.0.1'],
    [null, 0, null, null, '127.0.0.1'],
    [null, 0, null, null, null],
    [null, null, null, null, null],
  ])
})

test('the first byte counts even if it is no part of an answer', async () => {
  const receiver = await rawReceiverOf(greets('\r\n'))
  const result = await egressOf().post(receiver.url, { deadlineMs: 100 })
  expect(result).toMatchObject({ failure: { errorClass: 'TIMEOUT' }, timings: { firstByteMs: expect.any(Number) } })
})
