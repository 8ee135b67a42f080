import { expect, test } from 'vitest'
import { newId } from '../../schema/ids.ts'
import { createAccessTokens } from '../../src/deliveries/access-tokens.ts'
import type { OAuth2Client } from '../../src/endpoints/authorization.ts'
import { egressOf, receiverOf } from '../egress/world.ts'
import { movableClock } from '../support/engine.ts'

test('whoever joins a request for a token waits no longer than it may, and the request goes on', async () => {
  const login = await receiverOf()
  const release = Promise.withResolvers<void>()
  login.answers(async () => {
    await release.promise
    return { headers: { 'content-type': 'application/json' }, body: '{"access_token":"a-token","token_type":"Bearer"}' }
  })
  const tokens = createAccessTokens({ egress: egressOf(), clock: movableClock() })
  const client: OAuth2Client = {
    tokenUrl: login.url,
    clientId: 'postrider',
    clientSecret: 'a-secret',
    scopes: [],
    audience: null,
    authentication: 'HEADER',
  }
  const endpoint = newId<'ep'>(new Date())
  const get = (withinMs: number) => tokens.get(endpoint, client, withinMs)
  const [first, patient] = [get(20_000), get(20_000)]
  await login.waitForRequests(1)

  expect(await get(50)).toEqual({
    failure: { errorClass: 'OAUTH', message: expect.stringContaining('no access token in time') },
  })
  release.resolve()
  expect(await Promise.all([first, patient])).toEqual([{ token: 'a-token' }, { token: 'a-token' }])
  expect(login.requests).toHaveLength(1)
})
