import { verify as verifyBodyHex } from '@octokit/webhooks-methods'
import { HTTP } from 'cloudevents'
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import Stripe from 'stripe'
import { expect, onTestFinished, test } from 'vitest'
import { type EventId, publicId } from '../../schema/ids.ts'
import { PAYLOAD_FORMATS, type PayloadFormat } from '../../schema/states.ts'
import { findSentBodies } from '../../src/deliveries/sent-body.ts'
import type { Published } from '../../src/events/publish.ts'
import { startApi } from '../graphql/api.ts'
import { movableClock } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { type ReceivedRequest, type Receiver, startReceiver } from '../support/receiver.ts'
import { childrenOf, jsonOfXml, parseXml } from '../support/xml.ts'

/** What real receivers got, read and verified by code that is not ours. */

const CREATE = `mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) {
  endpoint { id format signing { standard ed25519 also { scheme header } } } secret userErrors { code path message } } }`
const PUBLISH = `mutation ($input: EventPublishInput!) { eventPublish(input: $input) {
  event { id } userErrors { code message } } }`
const ROTATE = `mutation ($id: ID!, $overlapSeconds: Int) { endpointRotateSecret(id: $id, overlapSeconds: $overlapSeconds) {
  secret userErrors { message } } }`

async function world() {
  const clock = movableClock()
  const api = await startApi({ worker: true, clock })
  const create = async (settings: object) => {
    const receiver = await startReceiver()
    onTestFinished(() => receiver.close())
    type Created = { endpointCreate: { endpoint: { id: string }; secret: string; userErrors: unknown[] } }
    const { endpointCreate } = await api.ask<Created>(CREATE, { input: { url: receiver.url, ...settings } })
    expect(endpointCreate.userErrors).toEqual([])
    return { receiver, id: endpointCreate.endpoint.id, secret: endpointCreate.secret }
  }
  const publishText = async (payloadJson: string, more: object = {}) => {
    type Answer = { eventPublish: { event: { id: string }; userErrors: unknown[] } }
    const { eventPublish } = await api.ask<Answer>(PUBLISH, { input: { type: 'invoice.paid', payloadJson, ...more } })
    expect(eventPublish.userErrors).toEqual([])
    return eventPublish.event.id
  }
  const rotate = async (id: string, overlapSeconds?: number) =>
    (await api.ask<{ endpointRotateSecret: { secret: string } }>(ROTATE, { id, overlapSeconds })).endpointRotateSecret
      .secret
  return { ...api, clock, create, publishText, rotate }
}

const nextOf = async (receiver: Receiver) => {
  const count = receiver.requests.length + 1
  return async () => (await receiver.waitForRequests(count, 15_000))[count - 1] as ReceivedRequest
}

const PAYLOAD = '{"amount": 49.00, "big": 9007199254740993, "text": "Zürich 🏔 <&> \\u0000"}'

test('each format is read by independent code as what was published', async () => {
  const { create, publishText } = await world()
  const made = await Promise.all(PAYLOAD_FORMATS.map(async (format) => ({ format, ...(await create({ format })) })))
  const version = 'ä 1%'
  const id = await publishText(PAYLOAD, { version })
  const requests = Object.fromEntries(
    await Promise.all(
      made.map(async ({ format, receiver, secret }) => {
        const [request] = (await receiver.waitForRequests(1, 15_000)) as [ReceivedRequest]
        if (format !== 'FORM' && format !== 'XML') new Webhook(secret).verify(String(request.body), request.headers)
        return [format, request]
      }),
    ),
  ) as Record<PayloadFormat, ReceivedRequest>
  const parsed = JSON.parse(PAYLOAD)
  const body = (format: PayloadFormat) => String(requests[format].body)
  const envelope = { id, type: 'invoice.paid', version, created_at: expect.stringMatching(/^\d{4}-.*Z$/) }

  expect(JSON.parse(body('ENVELOPE'))).toEqual({ ...envelope, data: parsed })
  expect(body('RAW')).toBe(PAYLOAD)
  expect(JSON.parse(body('THIN'))).toEqual(envelope)
  expect(requests.FORM.headers['content-type']).toBe('application/x-www-form-urlencoded')
  const form = [...new URLSearchParams(body('FORM'))]
  expect(form).toEqual([['payload', body('ENVELOPE')]])
  for (const format of ['CLOUDEVENTS_STRUCTURED', 'CLOUDEVENTS_BINARY'] as const) {
    const { headers } = requests[format]
    const event = HTTP.toEvent({ headers, body: body(format) })
    expect(event).not.toBeInstanceOf(Array)
    const {
      id: ceId,
      source,
      type,
      specversion,
      datacontenttype,
      time,
      data,
    } = event as Exclude<typeof event, unknown[]>
    expect({ id: ceId, source, type, specversion, datacontenttype, time }).toEqual({
      ...{ id, source: '/tenants/default', type: 'invoice.paid', specversion: '1.0' },
      ...{ datacontenttype: 'application/json', time: JSON.parse(body('THIN')).created_at },
    })
    expect(data).toEqual(parsed)
  }
  expect(requests.CLOUDEVENTS_STRUCTURED.headers['content-type']).toBe('application/cloudevents+json')
  expect(JSON.parse(body('CLOUDEVENTS_STRUCTURED')).eventversion).toBe(version)
  // The SDK leaves this to its callers.
  expect(decodeURIComponent(String(requests.CLOUDEVENTS_BINARY.headers['ce-eventversion']))).toBe(version)
  const root = parseXml(body('XML'))
  const [xmlId, type, xmlVersion, createdAt, data] = childrenOf(root)
  expect(
    [root.nodeName, xmlId, type, xmlVersion, createdAt].map((node) =>
      typeof node === 'string' ? node : node?.textContent,
    ),
  ).toEqual(['event', id, 'invoice.paid', version, JSON.parse(body('THIN')).created_at])
  expect(jsonOfXml(childrenOf(data as NonNullable<typeof data>)[0] as NonNullable<typeof data>)).toBe(
    normalised(PAYLOAD),
  )
})

/** Without white space, and each string as JSON.stringify has it. */
const normalised = (json: string) =>
  json.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (text) => (text.startsWith('"') ? JSON.stringify(JSON.parse(text)) : ''))

test('any JSON text goes in as payloadJson and comes out byte for byte, in every format that has it', async () => {
  const { create, ask } = await world()
  const made = await Promise.all(PAYLOAD_FORMATS.map(async (format) => ({ format, ...(await create({ format })) })))
  const BATCH = `mutation ($events: [EventPublishInput!]!) { eventPublishBatch(events: $events) {
    results { event { id } userErrors { code message } } } }`
  type Answer = { eventPublishBatch: { results: { event: { id: string }; userErrors: unknown[] }[] } }
  // As many at once as an endpoint takes in flight: more would wait a second for their turn.
  const batch = fc.array(jsonText, { minLength: 20, maxLength: 20 })
  const property = fc.asyncProperty(batch, async (texts) => {
    const events = texts.map((payloadJson) => ({ type: 'invoice.paid', payloadJson }))
    const { results } = (await ask<Answer>(BATCH, { events })).eventPublishBatch
    expect(results.flatMap(({ userErrors }) => userErrors)).toEqual([])
    const bodyOf = ({ requests }: Receiver, id: string) => {
      const request = requests.find(({ headers }) => headers['webhook-id'] === id)
      if (request === undefined) throw new Error(`${id} has not arrived`)
      return String(request.body)
    }
    const arrived = await eventually(
      () =>
        results.map(
          ({ event }) =>
            Object.fromEntries(made.map(({ format, receiver }) => [format, bodyOf(receiver, event.id)])) as Bodies,
        ),
      15_000,
    )
    expect(arrived).toHaveLength(texts.length)
    for (const [index, bodies] of arrived.entries()) expectAsPublished(bodies, texts[index] as string)
  })
  // The text at fault is told: smaller ones would take many more batches.
  await fc.assert(property, { numRuns: 5, endOnFailure: true })
})

type Bodies = Record<PayloadFormat, string>

function expectAsPublished(bodies: Bodies, text: string): void {
  const head = bodies.THIN.slice(0, -1)
  expect(Object.keys(JSON.parse(bodies.THIN))).toEqual(['id', 'type', 'version', 'created_at'])
  expect(bodies.RAW).toBe(text)
  expect(bodies.ENVELOPE).toBe(`${head},"data":${text}}`)
  expect(new URLSearchParams(bodies.FORM).get('payload')).toBe(bodies.ENVELOPE)
  expect(bodies.CLOUDEVENTS_BINARY).toBe(text)
  expect(bodies.CLOUDEVENTS_STRUCTURED).toMatch(/^\{"specversion":"1.0",/)
  expect(bodies.CLOUDEVENTS_STRUCTURED.endsWith(`,"data":${text}}`), text).toBe(true)
  JSON.parse(bodies.CLOUDEVENTS_STRUCTURED)
  const data = childrenOf(parseXml(bodies.XML)).at(-1) as ReturnType<typeof parseXml>
  expect(jsonOfXml(childrenOf(data)[0] as ReturnType<typeof parseXml>)).toBe(normalised(text))
}

const space = fc.constantFrom('', '', ' ', '\n', '\t', ' \r\n ')
const stringText = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }).map((text) => JSON.stringify(text).slice(1, -1)),
      fc.constantFrom(
        '\\u0000',
        '\\u001f',
        '\\/',
        '\\u0041',
        '\\ud83c\\udfd4',
        '🏔',
        '<',
        '&',
        ']]>',
        '\\r',
        '\\n',
        '\\uffff',
      ),
      fc.constantFrom('\u007f', '\u0085', '\u2028', '\ufffd', '\ufeff', "'", '%', '+', ' '),
    ),
    { maxLength: 6 },
  )
  .map((parts) => `"${parts.join('')}"`)
const scalarText = fc.oneof(
  stringText,
  fc.stringMatching(/^-?(0|[1-9]\d{0,25})(\.\d{1,20})?([eE][+-]?\d{1,3})?$/),
  fc.constantFrom('true', 'false', 'null', '1.10', '-0', '9007199254740993', '1e400'),
)
const { jsonText } = fc.letrec<{ jsonText: string; value: string }>((tie) => ({
  jsonText: fc.tuple(space, tie('value'), space).map((parts) => parts.join('')),
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalarText,
    fc.array(tie('jsonText'), { maxLength: 4 }).map((items) => `[${items.join()}]`),
    // Few names, so that some stand there twice.
    fc
      .array(
        fc.tuple(
          space,
          fc.oneof(fc.constantFrom('"a"', '"2"', '"1"', '"__proto__"', '""'), stringText),
          tie('jsonText'),
        ),
        {
          maxLength: 4,
        },
      )
      .map((members) => `{${members.map(([before, key, value]) => `${before}${key}${before}:${value}`).join()}}`),
  ),
}))

test('each scheme is verified by the library it was made for, across a rotation', async () => {
  const { create, publishText, rotate, clock } = await world()
  const also = [
    { scheme: 'TIMESTAMPED_HEX', header: 'Stripe-Signature' },
    { scheme: 'BODY_HEX', header: 'X-Hub-Signature-256' },
  ]
  const { receiver, id, secret: old } = await create({ format: 'RAW', signing: { also } })
  const send = async () => {
    const next = await nextOf(receiver)
    await publishText(PAYLOAD)
    return next()
  }
  const verifiers = {
    v1: async (secret: string, { body, headers }: ReceivedRequest) =>
      void new Webhook(secret).verify(String(body), headers),
    TIMESTAMPED_HEX: async (secret: string, { body, headers }: ReceivedRequest) =>
      void Stripe.webhooks.constructEvent(body, String(headers['stripe-signature']), secret),
    BODY_HEX: async (secret: string, { body, headers }: ReceivedRequest) => {
      const verified = await verifyBodyHex(secret, String(body), String(headers['x-hub-signature-256']))
      if (!verified) throw new Error('not verified')
    },
  }
  const verifies = async (secret: string, request: ReceivedRequest) =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(verifiers).map(async ([name, verify]) => [
          name,
          await verify(secret, request).then(
            () => true,
            () => false,
          ),
        ]),
      ),
    )
  const [all, none] = [true, false].map((value) => ({ v1: value, TIMESTAMPED_HEX: value, BODY_HEX: value }))

  const before = await send()
  expect(await verifies(old, before)).toEqual(all)
  const tampered = { ...before, body: Buffer.concat([before.body, Buffer.from(' ')]) }
  expect(await verifies(old, tampered)).toEqual(none)
  expect(before.rawHeaders.map(([name]) => name)).toContain('Stripe-Signature')

  const fresh = await rotate(id, 3600)
  const during = await send()
  expect(await verifies(old, during)).toEqual(all)
  // There is room for one signature, and the receiver cannot have known the new secret before.
  expect(await verifies(fresh, during)).toEqual({ ...all, BODY_HEX: false })
  expect(during.headers['stripe-signature']).toMatch(/^t=\d+,v1=[0-9a-f]{64},v1=[0-9a-f]{64}$/)

  clock.forward(3_600_000)
  const over = await send()
  expect(await verifies(fresh, over)).toEqual(all)
  expect(await verifies(old, over)).toEqual(none)

  const last = await rotate(id, 0)
  const after = await send()
  expect(await verifies(last, after)).toEqual(all)
  expect(await verifies(fresh, after)).toEqual(none)
})

test('instead of the standard headers: neither timestamp nor signature, but the id by which events are told apart', async () => {
  const { create, publishText } = await world()
  const signing = { standard: false, also: [{ scheme: 'BODY_HEX' }] }
  const { receiver, secret } = await create({ signing })
  const id = await publishText(PAYLOAD)
  const [request] = (await receiver.waitForRequests(1)) as [ReceivedRequest]
  const names = request.rawHeaders.map(([name]) => name)
  expect(names).toContain('X-Webhook-Signature')
  expect(names).not.toContain('webhook-signature')
  expect(names).not.toContain('webhook-timestamp')
  expect(request.headers).toMatchObject({ 'webhook-id': id, 'webhook-event': 'invoice.paid', 'webhook-attempt': '1' })
  expect(await verifyBodyHex(secret, String(request.body), String(request.headers['x-webhook-signature']))).toBe(true)
})

test('an attempt shows the body that it carried, whatever the format of its endpoint is now', async () => {
  const { create, publishText, ask } = await world()
  const made = await Promise.all(PAYLOAD_FORMATS.map(async (format) => ({ format, ...(await create({ format })) })))
  const event = await publishText('{"n":1.10}')
  const ATTEMPTS = `query ($event: ID!) { event(id: $event) { deliveries(first: 9) { nodes { id endpoint { id }
    attempts(first: 9) { nodes { number request { format body bodyBytes headers { name value } } } } } } } }`
  type Sent = {
    number: number
    request: { format: string; body: string; bodyBytes: number; headers: { name: string; value: string }[] }
  }
  type Tried = { id: string; endpoint: { id: string }; attempts: { nodes: Sent[] } }
  type Answer = { event: { deliveries: { nodes: Tried[] } } }
  const read = async (count: number) =>
    eventually(async () => {
      const { nodes } = (await ask<Answer>(ATTEMPTS, { event })).event.deliveries
      expect(nodes.map(({ attempts }) => attempts.nodes.length)).toEqual(made.map(() => count))
      return new Map(nodes.map((delivery) => [delivery.endpoint.id, delivery]))
    }, 10_000)
  const first = await read(1)
  const UPDATE = `mutation ($id: ID!, $format: PayloadFormat) { endpointUpdate(id: $id, input: { format: $format }) {
    endpoint { format } userErrors { message } } }`
  const nextTo = (at: number) => PAYLOAD_FORMATS[(at + 1) % PAYLOAD_FORMATS.length] as PayloadFormat
  await Promise.all(
    made.map(async ({ id }, at) => {
      const format = nextTo(at)
      expect((await ask(UPDATE, { id, format })).endpointUpdate).toEqual({ endpoint: { format }, userErrors: [] })
      const delivery = first.get(id)?.id
      await ask('mutation ($id: ID!) { deliveryRetry(id: $id) { userErrors { message } } }', { id: delivery })
    }),
  )
  const second = await read(2)
  for (const [at, { id, format, receiver }] of made.entries()) {
    const attempts = (second.get(id) as Tried).attempts.nodes.toReversed()
    expect(attempts.map(({ request }) => request.format)).toEqual([format, nextTo(at)])
    for (const { number, request } of attempts) {
      const sent = receiver.requests[number - 1] as ReceivedRequest
      expect(request.body, request.format).toBe(String(sent.body))
      expect(request.bodyBytes).toBe(sent.body.length)
      expect(request.headers.map(({ name, value }) => [name, value])).toEqual(sent.rawHeaders)
    }
  }
})

test('bodies that are too large for one answer together are refused, those of one event and format made once', async () => {
  const { publisher, tenantId, db, ask } = await startApi()
  const numbers = `[${'0,'.repeat(130_000)}0]`
  const inputs = Array(29).fill({ tenantId, type: 'invoice.paid', payloadJson: numbers })
  const ids = (await publisher.publishBatch(inputs)).map((result) => (result as Published).eventId)
  const bodies = (events: EventId[], format: PayloadFormat) =>
    findSentBodies(
      db.orm,
      'every',
      events.map((eventId) => ({ eventId, format })),
    )

  await expect(bodies(ids, 'XML')).rejects.toMatchObject({ code: 'TOO_MUCH_TO_READ' })
  expect(await bodies(ids, 'ENVELOPE')).toHaveLength(29)
  const same = await bodies(Array(40).fill(ids[0]), 'XML')
  expect(new Set(same).size).toBe(1)
  await ask('mutation ($id: ID!) { eventExpunge(id: $id) { userErrors { message } } }', {
    id: publicId('evt', ids[0] as EventId),
  })
  expect(await bodies(ids.slice(0, 1), 'XML')).toEqual([null])
})
