import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { OPERATIONAL_EVENT_TYPES, OPERATIONAL_EVENTS } from '../schema/operational-events.ts'
import { ATTEMPT_ERROR_CLASSES } from '../schema/outcomes.ts'
import { PAYLOAD_FORMATS, SIGNATURE_SCHEMES } from '../schema/states.ts'
import { formatEvent } from '../src/deliveries/formats.ts'
import { outcomeOf } from '../src/deliveries/outcome.ts'
import { DEFAULT_RETRY_POLICY, nextAttemptAt } from '../src/deliveries/retry-policy.ts'
import { signStandard } from '../src/deliveries/sign.ts'
import { delaysOf, longestScheduleSeconds } from '../src/endpoints/retry-schedule.ts'
import { parseSecret } from '../src/endpoints/signing-secret.ts'
import { codeBlock, codeIn, DOCUMENT, tableBelow } from './receivers/document.ts'
import { createEndpoint, publish, startServer, temporaryDirectory } from './support/app.ts'
import { type ReceivedRequest, startReceiver } from './support/receiver.ts'

/** schema/webhook.md says what the code does. Its own code is run by `npm run test:receivers`. */

const [vector] = JSON.parse(readFileSync(new URL('vectors/standard-webhooks.json', import.meta.url), 'utf8')).v1

test('every class of error is described, and no other', () => {
  const rows = tableBelow('## When attempts fail')
  expect(rows.map(([name]) => codeIn(name))).toEqual([...ATTEMPT_ERROR_CLASSES])
  for (const cells of rows)
    expect(
      cells.every((cell) => cell !== ''),
      cells[0],
    ).toBe(true)
})

test('the schedule is the default one', () => {
  const delays = delaysOf(DEFAULT_RETRY_POLICY)
  const [first, ...rows] = tableBelow('## Retries')
  expect(first).toEqual(['1', '–', '–', '–'])
  expect(rows).toHaveLength(delays.length)
  const total = (random: number, attempts: number) =>
    Array.from({ length: attempts }, (_, index) => waitAfter(index + 1, random)).reduce((sum, wait) => sum + wait, 0)
  rows.forEach(([attempt, wait, elapsed, between], index) => {
    expect(attempt).toBe(String(index + 2))
    expect(secondsOf(wait)).toBe(delays[index])
    expect(secondsOf(elapsed)).toBe(total(0.5, index + 1))
    expect(between?.split(' – ').map(secondsOf)).toEqual([total(0, index + 1), total(1, index + 1)])
  })
  expect(DOCUMENT).toContain('Ten attempts in 75 h 35 m')
  expect(secondsOf(rows.at(-1)?.[2])).toBe(secondsOf('75 h 35 m 5 s'))
})

test('every operational event is described, and the one that is shown is the example of its schema', () => {
  const rows = tableBelow('## Events about your endpoints')
  expect(rows.map(([name]) => codeIn(name))).toEqual([...OPERATIONAL_EVENT_TYPES])
  expect(JSON.parse(codeBlock('json disabled'))).toEqual(OPERATIONAL_EVENTS['endpoint.disabled'].example)
})

test('how long ids must be kept', () => {
  const days = longestScheduleSeconds(30) / 86_400
  // Each wait may be a fifth longer, and each of 100 attempts may take its 30 seconds.
  const stretched = Math.ceil(days * 1.2 + (100 * 30) / 86_400)
  const rows = Object.fromEntries(tableBelow('## Each event once'))
  expect(rows['the longest schedule that can be set']).toBe(`${stretched} days (${days} days, and 20 % of jitter)`)
  expect(DOCUMENT).toContain(`\n${days} days in all.`)
  const kept = /interval '(\d+) days'/.exec(codeBlock('sql forget'))?.[1]
  expect(DOCUMENT).toContain(`**${kept} days** cover every schedule`)
  expect(Number(kept)).toBeGreaterThan(stretched)
})

/** Seconds from a failed attempt to the next, with this much of chance. */
function waitAfter(attempt: number, random: number): number {
  const next = nextAttemptAt(DEFAULT_RETRY_POLICY, attempt, FAILED, new Date(0), () => random)
  return Math.round((next as Date).getTime() / 1000)
}

const FAILED = { succeeded: false, retryAfterMs: null }

/** `2 h 35 m 5 s`, `5 min` */
function secondsOf(text = ''): number {
  const seconds: Record<string, number> = { h: 3600, m: 60, min: 60, s: 1 }
  return [...text.matchAll(/(\d+) (h|min|m|s)\b/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (seconds[unit as string] as number),
    0,
  )
}

test('what answers mean', () => {
  const said = new Map<number, string>()
  // From below: the rows above are the exceptions of the ranges there.
  for (const [statuses = '', meaning = ''] of tableBelow('## Answer it').reverse()) {
    if (statuses === 'nothing') continue
    for (const range of statuses.split(', ')) {
      const [from, to = from] = range.split('–').map(Number) as [number, number?]
      for (let status = from; status <= to; status++) said.set(status, meaning)
    }
  }
  for (let status = 200; status <= 599; status++) {
    const { succeeded, gone } = outcomeOf({ status, headers: [], failure: null }, new Date())
    expect(said.get(status), String(status)).toMatch(succeeded ? /^Delivered/ : /^Failure/)
    expect(said.get(status)?.includes('disabled'), String(status)).toBe(gone)
  }
})

test.each`
  value                              | seconds
  ${'120'}                           | ${120}
  ${'Sat, 21 Nov 2026 12:00:00 GMT'} | ${3600}
  ${'999999'}                        | ${24 * 3600}
  ${'-1'}                            | ${null}
  ${'soon'}                          | ${null}
`('Retry-After: $value', ({ value, seconds }) => {
  const now = new Date('2026-11-21T11:00:00Z')
  const { retryAfterMs } = outcomeOf({ status: 503, headers: [['retry-after', value]], failure: null }, now)
  expect(retryAfterMs).toBe(seconds === null ? null : seconds * 1000)
  if (seconds > 0 && seconds < 24 * 3600) expect(DOCUMENT).toContain(`\`${value}\``)
})

test('the request shown is genuine, and of the form of a real one', async () => {
  const { api } = await startServer()
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  await createEndpoint(api, { url: receiver.url, secret: vector.secrets[0] })
  await publish(api, { type: 'invoice.paid', version: '2026-11-01', payload: {} })
  const [real] = await receiver.waitForRequests(1)
  const shown = requestShown()

  const names = real?.rawHeaders.map(([name]) => name)
  expect([...shown.headers.keys()]).toEqual(names)
  expect(
    tableBelow('## The request')
      .map(([name]) => codeIn(name))
      .toSorted(),
  ).toEqual(names?.toSorted())
  expect(Object.keys(JSON.parse(shown.body))).toEqual(Object.keys(JSON.parse(String(real?.body))))
  expect(bodyFields()).toEqual(Object.keys(JSON.parse(String(real?.body))))
  expect(shown.headers.get('content-length')).toBe(String(Buffer.byteLength(shown.body)))
  expect(shown.headers.get('webhook-id')).toBe(JSON.parse(shown.body).id)
  const signable = {
    id: shown.headers.get('webhook-id') as string,
    timestamp: Number(shown.headers.get('webhook-timestamp')),
    body: shown.body,
  }
  expect(signStandard(signable, vector.secrets)).toBe(shown.headers.get('webhook-signature'))
})

function requestShown(): { headers: Map<string, string>; body: string } {
  const [head = '', body = ''] = codeBlock('http').trimEnd().split('\n\n')
  const lines = head.split('\n').slice(1)
  return { headers: new Map(lines.map((line) => line.split(': ') as [string, string])), body }
}

/** The event of the request that is shown. */
function eventShown() {
  const { body } = requestShown()
  const { id, type, version, created_at } = JSON.parse(body)
  const payload = body.slice(body.indexOf(',"data":') + ',"data":'.length, -1)
  return { id, type, version, createdAt: new Date(created_at), tenant: 'acme', isTest: false, payload }
}

test('every format is described, and the examples are the event that is shown', () => {
  const format = (name: (typeof PAYLOAD_FORMATS)[number]) => formatEvent(name, eventShown())
  const rows = tableBelow('## Other formats')
  expect(rows.map(([name]) => codeIn(name))).toEqual([...PAYLOAD_FORMATS])
  PAYLOAD_FORMATS.forEach((name, index) => {
    expect(codeIn(rows[index]?.[1])).toBe(format(name).headers[0]?.[1])
  })
  expect(String(format('ENVELOPE').body)).toBe(requestShown().body)
  // Shown with line breaks.
  const cloudEvent = JSON.stringify(JSON.parse(codeBlock('json cloudevent')))
  expect(cloudEvent).toBe(String(format('CLOUDEVENTS_STRUCTURED').body))
  const headers = format('CLOUDEVENTS_BINARY').headers.map((header) => `${header.join(': ')}\n`)
  expect(codeBlock('http cloudevent')).toBe(headers.join(''))
  expect(codeBlock('xml envelope')).toBe(`${format('XML').body}\n`)
})

test('no format makes more of a payload than is said', () => {
  expect(DOCUMENT).toContain(
    '`FORM` can be three times as large as the [limit](#network-and-limits) says, one of `XML` nine times',
  )
  const many = (part: string) => part.repeat(10_000)
  const text = ['&', '\u007f', '\u0085', '\\"', '\\u0000', 'é', '🏔', ']]>'].map((part) => `"${many(part)}"`)
  const worst = [...text, `[${many('0,')}0]`, `[${many('"",')}""]`, `[${many('[],')}0]`, `[${many('{"":0},')}0]`]
  const times = (name: 'FORM' | 'XML') =>
    worst.map((payload) => formatEvent(name, { ...eventShown(), payload }).body.length / Buffer.byteLength(payload))
  expect(Math.max(...times('FORM'))).toBeCloseTo(3, 1)
  expect(Math.max(...times('XML'))).toBeCloseTo(9, 1)
})

test('the code for other signatures takes requests that were really sent, and no others', async () => {
  const directory = await temporaryDirectory()
  for (const [file, tag] of [
    ['verify', 'js verify'],
    ['ed25519', 'js ed25519'],
    ['hex', 'js hex'],
  ])
    await writeFile(join(directory, `${file}.mjs`), codeBlock(String(tag)))
  const load = (file: string) => import(pathToFileURL(join(directory, `${file}.mjs`)).href)
  const { fetchKeys, verifyEd25519 } = await load('ed25519')
  const { verifyTimestamped, verifyBody } = await load('hex')
  const { api } = await startServer()
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  const also = [{ scheme: 'TIMESTAMPED_HEX' }, { scheme: 'BODY_HEX', header: 'X-Hub-Signature-256' }]
  const { id, secret } = await createEndpoint(api, { url: receiver.url, signing: { ed25519: true, also } })
  await createEndpoint(api, { url: receiver.url, eventTypes: ['other'], signing: { ed25519: true } })
  await publish(api, { type: 'invoice.paid', payloadJson: '{"n":9007199254740993}' })
  const [{ headers, body }] = (await receiver.waitForRequests(1)) as [ReceivedRequest]

  const url = `${api.url}/.well-known/webhook-keys/default`
  const keys = await fetchKeys(url, id)
  expect(keys).toHaveLength(2)
  const [timestamped, hex] = [headers['x-webhook-signature'], headers['x-hub-signature-256']]
  const other = `whsec_${Buffer.alloc(32, 5).toString('base64')}`
  const late = Date.now() / 1000 + 400
  verifyEd25519(keys, headers, body)
  verifyTimestamped([other, secret], timestamped, body)
  verifyBody([other, secret], hex, body)

  const forged = Buffer.from(String(body).replace('9007199254740993', '1'))
  const refusals: [() => unknown, string][] = [
    [() => verifyEd25519(keys, headers, forged), 'no signature matches'],
    [() => verifyEd25519([], headers, body), 'no signature matches'],
    [() => verifyEd25519(keys, { ...headers, 'webhook-id': 'evt_1' }, body), 'no signature matches'],
    [() => verifyEd25519(keys, { ...headers, 'webhook-signature': 'v1a, v1a,AAAA' }, body), 'no signature matches'],
    [() => verifyEd25519(keys, { ...headers, 'webhook-signature': undefined }, body), 'malformed'],
    [() => verifyEd25519(keys, headers, body, late), 'five minutes'],
    [() => verifyTimestamped([secret], timestamped, forged), 'no signature matches'],
    [() => verifyTimestamped([other], timestamped, body), 'no signature matches'],
    [() => verifyTimestamped([secret], timestamped, body, late), 'five minutes'],
    [() => verifyTimestamped([secret], undefined, body), 'malformed'],
    [() => verifyBody([secret], hex, forged), 'no signature matches'],
    [() => verifyBody([other], hex, body), 'no signature matches'],
    [() => verifyBody([secret], timestamped, body), 'malformed'],
  ]
  const { Refused } = await load('verify')
  for (const [verify, reason] of refusals) {
    expect(verify).toThrow(reason)
    expect(verify).toThrow(Refused)
  }
  await expect(fetchKeys(url.replace('default', 'nobody'), id)).rejects.toThrow('404')

  const published = (await (await fetch(url)).json()) as { keys: object[] }
  const [shown] = JSON.parse(codeBlock('json keys')).keys
  for (const key of published.keys) expect(Object.keys(key)).toEqual(Object.keys(shown))
  const schemes = tableBelow('## Other signatures').map(([name]) => codeIn(name))
  expect(schemes).toEqual(['v1a', ...SIGNATURE_SCHEMES])
})

/** The second table of its section. */
function bodyFields(): string[] {
  const rows = DOCUMENT.split('The body is one JSON object:')[1]?.split('\n\n')[1]?.split('\n').slice(2) ?? []
  return rows.map((row) => codeIn(row.split('|')[1]?.trim()))
}

test('the worked example is the published vector', () => {
  const { id, timestamp, body, signature, secrets } = vector
  const digest = Buffer.from(signature.slice('v1,'.length), 'base64').toString('hex')
  const rows = Object.fromEntries(tableBelow('### Check yourself').map(([what, value]) => [what, codeIn(value)]))
  expect(rows).toEqual({
    secret: secrets[0],
    '`webhook-id`': id,
    '`webhook-timestamp`': String(timestamp),
    body,
    'key, in hex': parseSecret(secrets[0])?.toString('hex'),
    'signed content': `${id}.${timestamp}.${body}`,
    'HMAC-SHA256, in hex': digest,
    '`webhook-signature`': signature,
  })
})

test('every link inside the page leads somewhere', () => {
  const prose = DOCUMENT.replace(/\n```.*?\n```\n/gs, '\n')
  const anchors = [...prose.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
  const links = [...prose.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor)
  expect(links.length).toBeGreaterThan(15)
  for (const link of links) expect(anchors).toContain(link)
})
