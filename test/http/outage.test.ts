import { expect, test } from 'vitest'
import { startApi } from '../graphql/api.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket } from './raw.ts'

test('a database that is away before anybody is known is told of with the id of the request, over WebSocket as well', async () => {
  const { url, adminKey, db } = await startApi()
  const socket = await openSocket(Number(new URL(url).port))
  socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${adminKey}` } }))
  await eventually(() => expect(socket.messages).toContain('{"type":"connection_ack"}'))
  await db.sql.end()
  socket.send(JSON.stringify({ type: 'subscribe', id: '1', payload: { query: '{ viewer { name } }' } }))
  await eventually(() => expect(socket.messages.at(-1)).toContain('"type":"error"'))
  const { payload } = JSON.parse(socket.messages.at(-1) as string)
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${adminKey}` }
  const response = await fetch(url, { method: 'POST', headers, body: '{"query":"{ viewer { name } }"}' })
  const { errors } = (await response.json()) as { errors: { extensions: object }[] }
  expect(response.status).toBe(503)
  for (const { extensions } of [payload[0], errors[0]]) {
    expect(extensions).toEqual({ code: 'UNAVAILABLE', requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) })
  }
})
