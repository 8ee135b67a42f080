import { expect, test } from 'vitest'
import { startApi } from '../graphql/api.ts'
import { type Api, createEndpoint, databaseUrl, publish, startServer } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { startProxy } from '../support/proxy.ts'
import { startReceiver } from '../support/receiver.ts'

const CREATE = `mutation ($url: String!) {
  endpointCreate(input: { url: $url }) { endpoint { id url } userErrors { code message path } }
}`
const UPDATE = `mutation ($id: ID!, $url: String!) {
  endpointUpdate(id: $id, input: { url: $url }) { endpoint { url } userErrors { code message path } }
}`
const INNER = 'http://10.0.0.5/hook'
const REFUSED = {
  endpoint: null,
  userErrors: [
    {
      code: 'INVALID_URL',
      path: ['input', 'url'],
      message: `"${INNER}" points into a private network. The operator of this server can allow it by adding 10.0.0.0/8 to POSTRIDER_ALLOW_NETWORKS.`,
    },
  ],
}

type Payload = { endpoint: { id: string; url: string } | null; userErrors: unknown[] }

async function failureOf(api: Api, endpointId: string) {
  const { attempts } = await api.ask<{ attempts: { nodes: { errorClass: string; errorMessage: string }[] } }>(
    `query ($filter: AttemptFilter) { attempts(filter: $filter) { nodes { errorClass errorMessage } } }`,
    { filter: { endpointIds: [endpointId] } },
  )
  expect(attempts.nodes).not.toEqual([])
  return attempts.nodes[0]
}

test('an endpoint inside a private network is refused when it is written, with what to do about it', async () => {
  const api = await startApi({ allowNetworks: '' })

  const refused = await api.ask<{ endpointCreate: Payload }>(CREATE, { url: INNER })
  const created = await api.ask<{ endpointCreate: Payload }>(CREATE, { url: 'https://BÜCHER.example:443/hook' })
  const id = created.endpointCreate.endpoint?.id
  const changed = await api.ask<{ endpointUpdate: Payload }>(UPDATE, { id, url: INNER })

  expect(refused.endpointCreate).toEqual(REFUSED)
  expect(created.endpointCreate).toMatchObject({
    endpoint: { url: 'https://xn--bcher-kva.example/hook' },
    userErrors: [],
  })
  expect(changed.endpointUpdate).toEqual(REFUSED)
})

test("the operator's own names, the proxy, and an endpoint that points back to us", async () => {
  const receiver = await startReceiver()
  const proxy = await startProxy({ to: receiver.port })
  const { api, output } = await startServer({
    POSTRIDER_ALLOW_HOSTS: 'localhost',
    POSTRIDER_EGRESS_PROXY: `http://user:hunter2@localhost:${proxy.port}`,
  })
  await createEndpoint(api, { url: `http://localhost:${receiver.port}/hook` })
  const loop = await createEndpoint(api, { url: `${api.url}/graphql` })

  await publish(api, { type: 'invoice.paid', payload: {} })

  await receiver.waitForRequests(1)
  expect(proxy.heads).toEqual([expect.stringContaining(`CONNECT 127.0.0.1:${receiver.port} HTTP/1.1\r\n`)])
  const failure = await eventually(() => failureOf(api, loop.id))
  await eventually(() => expect(output()).toContain('a delivery loop'))
  expect(output()).not.toContain('hunter2')
  expect(failure).toMatchObject({
    errorClass: 'BLOCKED_ADDRESS',
    errorMessage: expect.stringContaining('Postrider itself'),
  })
})

test('with https only, http is refused when it is written, and what was written before is not sent', async () => {
  const address = await createDatabase()
  const { api } = await startServer({ DATABASE_URL: databaseUrl(address), POSTRIDER_HTTPS_ONLY: 'true' })
  const receiver = await startReceiver()
  const { id } = await createEndpoint(api, { url: receiver.url.replace('http:', 'https:') })
  // As if it had been written when http was allowed.
  const db = await openDatabase(address)
  await db.sql`update postrider.endpoints set url = ${receiver.url}`

  await publish(api, { type: 'invoice.paid', payload: {} })

  const { endpointCreate } = await api.ask<{ endpointCreate: Payload }>(CREATE, { url: receiver.url })
  expect(endpointCreate.userErrors).toMatchObject([
    { code: 'INVALID_URL', message: expect.stringContaining('https only') },
  ])
  const failure = await eventually(() => failureOf(api, id))
  expect(failure).toMatchObject({ errorClass: 'BLOCKED_ADDRESS', errorMessage: expect.stringContaining('https') })
  expect(receiver.connections()).toBe(0)
})

test('no server that a test launches leaves loopback, whatever it is allowed', async () => {
  // A network for documentation: where nobody is, should this test fail.
  const server = await startServer({ POSTRIDER_ALLOW_NETWORKS: '192.0.2.0/24' })
  await createEndpoint(server.api, { url: 'http://192.0.2.1/hook' })

  await publish(server.api, { type: 'invoice.paid', payload: {} })

  await eventually(() => expect(server.output()).toContain('Escape: No test contacts anything but loopback'))
})
