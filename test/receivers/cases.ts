import { createHmac } from 'node:crypto'
import type { ReceivedRequest } from '../support/receiver.ts'

/**
 * A request as a verifier gets it, and what it must make of it. `not accepted`: the verifier's own configuration is
 * broken, and an error says so better than a refusal.
 */
export type Case = {
  name: string
  expected: 'accepted' | 'refused' | 'not accepted'
  now: number
  secrets: string[]
  /** Values as HTTP has them: each character a byte. */
  headers: Record<string, string>
  body: Buffer
}

type Signed = Pick<Case, 'headers' | 'body'>

const ID = 'webhook-id'
const TIMESTAMP = 'webhook-timestamp'
const SIGNATURE = 'webhook-signature'

const OTHER_SECRET = `whsec_${Buffer.alloc(32, 0xfb).toString('base64')}`

/** What each harness reads: one line for each case. */
export function linesOf(cases: readonly Case[]): string {
  const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64')
  return cases
    .map(({ now, secrets, headers, body }) =>
      [
        now,
        secrets.map(base64).join(','),
        Object.entries(headers)
          .map(([name, value]) => `${name}:${base64(value)}`)
          .join(','),
        body.toString('base64'),
      ].join('\t'),
    )
    .map((line) => `${line}\n`)
    .join('')
}

/** The vector that Standard Webhooks publishes, as it is and after its five minutes. */
export function vectorCases(vector: {
  secret: string
  id: string
  timestamp: number
  body: string
  signature: string
}) {
  const headers = { [ID]: vector.id, [TIMESTAMP]: String(vector.timestamp), [SIGNATURE]: vector.signature }
  const given = { secrets: [vector.secret], headers, body: Buffer.from(vector.body) }
  return casesOf('the published vector', vector.timestamp, given, {
    accepted: { 'as it is': {} },
    refused: { 'years later': { now: vector.timestamp + 180_000_000 } },
  })
}

/** A request that the server sent, as it was and in every way that somebody could have tampered with it. */
export function casesOfRequest(name: string, secret: string, request: ReceivedRequest): Case[] {
  const { headers, body } = request
  const given = { secrets: [secret], headers, body }
  const sentAt = Number(headers[TIMESTAMP])
  const cases = [
    ...casesOf(name, sentAt, given, { accepted: { 'as it was sent': {} } }),
    ...casesOf(name, sentAt, given, bodyTamperedWith(body)),
  ]
  // Once is enough to learn that a large body is hashed whole.
  if (body.length > 100_000) return cases
  const signed = { headers, body }
  return [
    ...cases,
    ...casesOf(name, sentAt, given, harmless(signed, secret, sentAt)),
    ...casesOf(name, sentAt, given, badTimes(signed, secret, sentAt)),
    ...casesOf(name, sentAt, given, badHeaders(signed)),
    ...casesOf(name, sentAt, given, badSignatures(signed, secret)),
    ...casesOf(name, sentAt, given, badSecrets(signed, secret)),
  ]
}

type Change = Partial<Pick<Case, 'now' | 'secrets' | 'headers' | 'body'>>
type Changes = Partial<Record<Case['expected'], Record<string, Change>>>

function casesOf(name: string, now: number, given: Signed & { secrets: string[] }, changes: Changes): Case[] {
  return Object.entries(changes).flatMap(([expected, named]) =>
    Object.entries(named).map(([what, change]) => ({
      name: `${name}: ${what}`,
      expected: expected as Case['expected'],
      now,
      ...given,
      ...change,
    })),
  )
}

function bodyTamperedWith(body: Buffer): Changes {
  const flipped = (at: number) => {
    const copy = Buffer.from(body)
    copy[at] = (copy[at] as number) ^ 1
    return { body: copy }
  }
  const rewritten = Buffer.from(JSON.stringify(JSON.parse(body.toString())))
  return {
    refused: {
      'first byte flipped': flipped(0),
      'byte in the middle flipped': flipped(body.length >> 1),
      'last byte flipped': flipped(body.length - 1),
      'a byte more': { body: Buffer.concat([body, Buffer.from(' ')]) },
      'a byte less': { body: body.subarray(0, -1) },
      'a line break more': { body: Buffer.concat([body, Buffer.from('\n')]) },
      'no body': { body: Buffer.alloc(0) },
      ...(rewritten.equals(body) ? {} : { 'parsed and written again': { body: rewritten } }),
    },
  }
}

/** What must not disturb a verifier. */
function harmless({ headers, body }: Signed, secret: string, sentAt: number): Changes {
  const signature = headers[SIGNATURE] as string
  const signedAs = (value: string) => ({ headers: { ...headers, [SIGNATURE]: value } })
  const foreign = sign(OTHER_SECRET, headers[ID], headers[TIMESTAMP], body)
  return {
    accepted: {
      'five minutes old': { now: sentAt + 300 },
      'five minutes in the future': { now: sentAt - 300 },
      'of two signatures the second is right': signedAs(`${foreign} ${signature}`),
      'of two signatures the first is right': signedAs(`${signature} ${foreign}`),
      'after signatures of unknown versions': signedAs(`v1a,${'A'.repeat(86)}== v2,AAAA v1 ${signature}`),
      'after garbage': signedAs(`garbage , v1, v1,*** ${'x'.repeat(4000)} ${signature}`),
      'after two spaces': signedAs(`${foreign}  ${signature}`),
      'with the second of two secrets': { secrets: [OTHER_SECRET, secret] },
      'with the first of two secrets': { secrets: [secret, OTHER_SECRET] },
      'names of headers in other case': {
        headers: Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [
            name.replace(/\b./g, (letter) => letter.toUpperCase()),
            value,
          ]),
        ),
      },
      'what is not signed is changed': {
        headers: { ...headers, 'webhook-event': 'other.type', 'webhook-attempt': '99', 'content-type': 'text/plain' },
      },
    },
  }
}

function badTimes({ headers, body }: Signed, secret: string, sentAt: number): Changes {
  // Signed with the right secret, so that only the look at the timestamp itself can refuse them.
  const signedAt = (timestamp: string) => ({
    headers: { ...headers, [TIMESTAMP]: timestamp, [SIGNATURE]: sign(secret, headers[ID], timestamp, body) },
  })
  const t = String(sentAt)
  const odd = [
    '',
    '123abc',
    `${t}abc`,
    `+${t}`,
    `-${t}`,
    ` ${t}`,
    `${t} `,
    `${t}.0`,
    `${t}\n`,
    `0x${sentAt.toString(16)}`,
    '1e9',
    'NaN',
    'Infinity',
    '0',
    t.repeat(3),
    '9'.repeat(400),
    '9223372036854775807',
    '-9223372036854775808',
    new Date(sentAt * 1000).toISOString(),
    // ² and ³ in Latin-1, which some parsers take for digits.
    `${t.slice(0, -1)}\u00b2`,
    '\u00b3',
  ]
  // The signed content splits in other places, too. Everything fits but what stands for the timestamp.
  const [head = '', ...rest] = body.toString('latin1').split('.')
  return {
    refused: {
      'a second more than five minutes old': { now: sentAt + 301 },
      'six minutes old': { now: sentAt + 360 },
      'a second more than five minutes in the future': { now: sentAt - 301 },
      'six minutes in the future': { now: sentAt - 360 },
      'timestamp changed': { headers: { ...headers, [TIMESTAMP]: String(sentAt + 1) } },
      ...Object.fromEntries(
        odd.map((text) => [`signed, but the timestamp is ${JSON.stringify(text.slice(0, 30))}`, signedAt(text)]),
      ),
      'id and timestamp shifted into the body': {
        headers: { ...headers, [ID]: `${headers[ID]}.${t}`, [TIMESTAMP]: head },
        body: Buffer.from(rest.join('.'), 'latin1'),
      },
    },
  }
}

function badHeaders({ headers }: Signed): Changes {
  const without = (name: string) => ({
    headers: Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name)),
  })
  const each = (what: string, change: (name: string) => Change) =>
    Object.fromEntries([ID, TIMESTAMP, SIGNATURE].map((name) => [`${name} ${what}`, change(name)]))
  return {
    refused: {
      ...each('missing', without),
      ...each('empty', (name) => ({ headers: { ...headers, [name]: '' } })),
      ...each('not ASCII', (name) => ({ headers: { ...headers, [name]: '\u00ff\u00fe\u00c3\u0028' } })),
      ...each('8 KB long', (name) => ({ headers: { ...headers, [name]: 'x'.repeat(8192) } })),
      'all three missing': { headers: { 'content-type': 'application/json' } },
      'id changed': { headers: { ...headers, [ID]: 'evt_00000000000000000000000000' } },
      'id in upper case': { headers: { ...headers, [ID]: (headers[ID] as string).toUpperCase() } },
    },
  }
}

function badSignatures({ headers, body }: Signed, secret: string): Changes {
  const right = (headers[SIGNATURE] as string).slice('v1,'.length)
  const [id, timestamp] = [headers[ID], headers[TIMESTAMP]]
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const other = (content: string | Buffer, by: string | Buffer = key) =>
    `v1,${createHmac('sha256', by).update(content).digest('base64')}`
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body])
  const wrong = {
    'a prefix of the signature': `v1,${right.slice(0, 20)}`,
    'the signature without its padding': `v1,${right.replace('=', '')}`,
    'one more padding': `v1,${right}=`,
    'a character more': `v1,${right}A`,
    'base64 garbage after v1,': `v1,${right.slice(0, -1)}*`,
    'other spare bits in the last character': `v1,${spareBits(right)}`,
    'only garbage after v1,': 'v1,***',
    'an unknown version': `v1a,${right}`,
    'version 2': `v2,${right}`,
    'V1 in upper case': `V1,${right}`,
    'no version': right,
    'an equals sign for the comma': `v1=${right}`,
    'two commas': `v1,,${right}`,
    'a space after the comma': `v1, ${right}`,
    'a tab between two signatures': `v1,AAAA\tv1,${right}`,
    'quotes around it': `"v1,${right}"`,
    'in hex': `v1,${Buffer.from(right, 'base64').toString('hex')}`,
    'nothing after v1,': 'v1,',
    'v1 alone': 'v1',
    'a comma': ',',
    'a space': ' ',
    spaces: '   ',
    garbage: 'garbage',
    'a zero byte after it': `v1,${right}\0`,
    'of the body alone': other(body),
    'without the id': other(Buffer.concat([Buffer.from(`${timestamp}.`), body])),
    'with the text of the secret as key': other(content, secret),
    'with an empty key': other(content, ''),
  }
  return {
    refused: {
      'another secret': { secrets: [OTHER_SECRET] },
      'two other secrets': { secrets: [OTHER_SECRET, `whsec_${Buffer.alloc(24).toString('base64')}`] },
      ...Object.fromEntries(
        Object.entries(wrong).map(([what, value]) => [what, { headers: { ...headers, [SIGNATURE]: value } }]),
      ),
    },
  }
}

/** Secrets that are none. The signature is the one that such a key makes: who knows of the mistake can make it, too. */
function badSecrets({ headers, body }: Signed, secret: string): Changes {
  const signedBy = (broken: string, key: string | Buffer) => ({
    secrets: [broken],
    headers: {
      ...headers,
      [SIGNATURE]: `v1,${createHmac('sha256', key)
        .update(`${headers[ID]}.${headers[TIMESTAMP]}.`)
        .update(body)
        .digest('base64')}`,
    },
  })
  const short = Buffer.alloc(16, 7)
  return {
    'not accepted': {
      'an empty secret': signedBy('', ''),
      'a secret that is only its prefix': signedBy('whsec_', ''),
      'a secret of 16 bytes': signedBy(`whsec_${short.toString('base64')}`, short),
      'a secret that is no base64': signedBy('whsec_****', ''),
      'the wrong end of a secret': { secrets: [secret.slice(-8)] },
    },
  }
}

/** The same bytes to a lenient decoder: 32 bytes leave two bits of the last of 43 characters unused. */
function spareBits(base64: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  return `${base64.slice(0, 42)}${alphabet[alphabet.indexOf(base64[42] as string) + 1]}=`
}

/** By Node's HMAC alone, so that the server's own signing has a judge. */
function sign(secret: string, id: string | undefined, timestamp: string | undefined, body: Buffer): string {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const head = Buffer.from(`${id}.${timestamp}.`, 'latin1')
  return `v1,${createHmac('sha256', key).update(head).update(body).digest('base64')}`
}
