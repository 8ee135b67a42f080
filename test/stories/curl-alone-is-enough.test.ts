import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { createEndpoint, publish, startServer } from '../support/app.ts'
import { startReceiver } from '../support/receiver.ts'

const run = promisify(execFile)

test('curl creates an endpoint and publishes; what arrives verifies', async () => {
  const { api } = await startServer()
  const receiver = await startReceiver()
  const curl = async (body: string) => {
    const { stdout } = await run('curl', [
      '-s',
      `${api.url}/graphql`,
      '-H',
      `authorization: Bearer ${api.key}`,
      '-H',
      'content-type: application/json',
      '-d',
      body,
    ])
    return JSON.parse(stdout).data
  }

  const created = await curl(
    JSON.stringify({
      query: `mutation { endpointCreate(input: { url: "${receiver.url}" }) { secret userErrors { message } } }`,
    }),
  )
  const published = await curl(
    '{"query":"mutation { eventPublish(input: { type: \\"invoice.paid\\", payload: { amount: 1200 } }) { event { id } } }"}',
  )

  const [request] = await receiver.waitForRequests(1)
  expect(request?.headers['webhook-id']).toBe(published.eventPublish.event.id)
  expect(verified(created.endpointCreate.secret, request)).toMatchObject({
    type: 'invoice.paid',
    data: { amount: 1200 },
  })
})

const PAYLOADS = {
  '2^53+1': '{"n":9007199254740993}',
  'a trailing zero': '{"price":1.10}',
  'an escaped U+0000': '{"text":"a\\u0000b"}',
  'an emoji': '{"text":"🚲 postrider"}',
  'duplicate keys': '{"a":1,"a":2}',
  'integer-like keys in odd order': '{"2":"b","10":"c","1":"a"}',
  'white space': '{ "a" :\t[ 1 , 2 ]\n}',
  'a bare number': '1e2',
}

test('payloads arrive byte for byte', async () => {
  const { api } = await startServer()
  const receiver = await startReceiver()
  const { secret } = await createEndpoint(api, { url: receiver.url })

  const published = new Map<string, string>()
  for (const [name, payloadJson] of Object.entries(PAYLOADS)) {
    published.set(await publish(api, { type: 'fidelity.checked', payloadJson }), name)
  }

  for (const request of await receiver.waitForRequests(published.size)) {
    const name = published.get(request.headers['webhook-id'] ?? '') as keyof typeof PAYLOADS
    expect(request.body.toString(), name).toContain(`"data":${PAYLOADS[name]}}`)
    verified(secret, request)
  }
})

function verified(secret: string, request: { body: Buffer; headers: Record<string, string> } | undefined) {
  return new Webhook(secret).verify(request?.body.toString() ?? '', request?.headers ?? {})
}
