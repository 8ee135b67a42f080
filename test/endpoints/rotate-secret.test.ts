import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { describe, expect, onTestFinished, test } from 'vitest'
import { newId, publicId } from '../../schema/ids.ts'
import { eraseEndedSecrets } from '../../src/endpoints/secrets.ts'
import { startApi } from '../graphql/api.ts'
import { movableClock } from '../support/engine.ts'
import { type ReceivedRequest, startReceiver } from '../support/receiver.ts'

const CREATE = `mutation ($secret: String) { endpointCreate(input: { url: "https://example.com/hook", secret: $secret }) {
  endpoint { id } secret } }`
const ROTATE = `mutation ($id: ID!, $overlapSeconds: Int, $secret: String) {
  endpointRotateSecret(id: $id, overlapSeconds: $overlapSeconds, secret: $secret) {
    endpoint { id secrets { id createdAt signsUntil } } secret userErrors { code message path } } }`
const REVEAL = `mutation ($id: ID!) { endpointRevealSecret(id: $id) {
  endpoint { id } secrets { id secret createdAt signsUntil } userErrors { code message path } } }`

type Metadata = { id: string; createdAt: string; signsUntil: string | null }
type Rotated = {
  endpoint: { id: string; secrets: Metadata[] } | null
  secret: string | null
  userErrors: { code: string; message: string; path: string[] }[]
}
type Revealed = { secrets: (Metadata & { secret: string })[] | null; userErrors: { code: string }[] }

async function world(options: Parameters<typeof startApi>[0] = {}) {
  const clock = movableClock()
  const api = await startApi({ clock, ...options })
  const create = async (secret?: string) => {
    const { endpointCreate } = await api.ask<{ endpointCreate: { endpoint: { id: string }; secret: string } }>(CREATE, {
      secret,
    })
    return { id: endpointCreate.endpoint.id, secret: endpointCreate.secret }
  }
  const rotate = async (id: string, more: { overlapSeconds?: number; secret?: string } = {}, key = api.adminKey) =>
    (await api.ask<{ endpointRotateSecret: Rotated }>(ROTATE, { id, ...more }, key)).endpointRotateSecret
  const reveal = async (id: string, key = api.adminKey) =>
    (await api.ask<{ endpointRevealSecret: Revealed }>(REVEAL, { id }, key)).endpointRevealSecret
  const secretsOf = async (id: string) => (await reveal(id)).secrets?.map(({ secret }) => secret)
  const actions = async () =>
    (await api.db.sql`select action from postrider.audit_log order by id`).map(({ action }) => action)
  return { ...api, clock, create, rotate, reveal, secretsOf, actions }
}

const verifies = (secret: string, { body, headers }: ReceivedRequest) => {
  try {
    new Webhook(secret).verify(body.toString(), headers)
    return true
  } catch {
    return false
  }
}

test('a receiver sees both secrets verify during the overlap, and only the new one after it', async () => {
  const { create, rotate, publish, clock, ask } = await world({ worker: true })
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  const { id, secret: old } = await create()
  await ask(
    `mutation ($id: ID!, $url: String) { endpointUpdate(id: $id, input: { url: $url }) { userErrors { message } } }`,
    { id, url: receiver.url },
  )
  const next = async () => {
    const count = receiver.requests.length + 1
    await publish()
    return (await receiver.waitForRequests(count))[count - 1] as ReceivedRequest
  }
  expect(verifies(old, await next())).toBe(true)

  const { secret: fresh } = (await rotate(id, { overlapSeconds: 3600 })) as { secret: string }
  const during = await next()
  expect([fresh, old].map((secret) => verifies(secret, during))).toEqual([true, true])
  const signatures = during.headers['webhook-signature']?.split(' ') ?? []
  expect(signatures).toHaveLength(2)
  // The newest first: by itself it verifies with the new secret alone.
  const first = { ...during, headers: { ...during.headers, 'webhook-signature': String(signatures[0]) } }
  expect([fresh, old].map((secret) => verifies(secret, first))).toEqual([true, false])

  // Half an hour is left, for a machine that is busy.
  clock.forward(1_800_000)
  expect(verifies(old, await next())).toBe(true)
  clock.forward(1_800_000)
  const after = await next()
  expect([fresh, old].map((secret) => verifies(secret, after))).toEqual([true, false])
  expect(after.headers['webhook-signature']?.split(' ')).toHaveLength(1)
})

describe('rotating', () => {
  test('gives the older secrets an end a day later, and never a later one than they had', async () => {
    const { create, rotate, clock } = await world()
    const { id } = await create()
    const startedAt = clock.now().getTime()
    const day = (await rotate(id)).endpoint?.secrets ?? []
    expect(day.map(({ signsUntil }) => signsUntil === null)).toEqual([true, false])
    expect(Date.parse(String(day[1]?.signsUntil)) - startedAt).toBeGreaterThanOrEqual(86_400_000)
    expect(Date.parse(String(day[1]?.signsUntil)) - clock.now().getTime()).toBeLessThanOrEqual(86_400_000)

    const week = (await rotate(id, { overlapSeconds: 604_800 })).endpoint?.secrets ?? []
    expect(week.map((secret) => secret.id).slice(1)).toEqual(day.map((secret) => secret.id))
    expect(week[2]).toEqual(day[1])
    const hour = (await rotate(id, { overlapSeconds: 3600 })).endpoint?.secrets ?? []
    const ends = hour.slice(1).map(({ signsUntil }) => Date.parse(String(signsUntil)) - clock.now().getTime())
    expect(Math.max(...ends)).toBeLessThanOrEqual(3_600_000)
  })

  test('without overlap erases the older ones at once', async () => {
    const { create, rotate, secretsOf, db } = await world()
    const { id } = await create()
    await rotate(id)
    const { secret, endpoint } = await rotate(id, { overlapSeconds: 0 })
    expect(endpoint?.secrets).toHaveLength(1)
    expect(await secretsOf(id)).toEqual([secret])
    expect((await db.sql`select from postrider.secrets`).count).toBe(1)
  })

  test('gets rid of a secret that cannot be opened', async () => {
    const { create, rotate, secretsOf, db } = await world()
    const { id } = await create()
    await db.sql`update postrider.secrets set sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40))`
    await rotate(id)
    const brought = `whsec_${randomBytes(24).toString('base64')}`
    expect(await rotate(id, { secret: brought, overlapSeconds: 0 })).toMatchObject({ secret: brought, userErrors: [] })
    expect(await secretsOf(id)).toEqual([brought])
  })

  test('to a secret that signs already is refused; to one that has ended it is not', async () => {
    const { create, rotate, clock } = await world()
    const { id, secret } = await create()
    await rotate(id, { overlapSeconds: 60 })
    const { secret: again, userErrors } = await rotate(id, { secret })
    expect(again).toBeNull()
    expect(userErrors).toMatchObject([{ code: 'INVALID_INPUT', path: ['secret'] }])
    expect(userErrors[0]?.message).not.toContain(secret.slice(6, 20))
    clock.forward(60_000)
    expect((await rotate(id, { secret })).secret).toBe(secret)
  })

  test('stops at five secrets, says when the first of them ends, and goes on then', async () => {
    const { create, rotate, clock } = await world()
    const { id } = await create()
    for (let n = 1; n <= 4; n++) expect((await rotate(id, { overlapSeconds: n * 100 })).userErrors).toEqual([])
    const { userErrors, secret } = await rotate(id)
    expect(secret).toBeNull()
    expect(userErrors).toMatchObject([{ code: 'TOO_MANY_SECRETS', path: ['id'] }])
    const end = /ends at (\S+):/.exec(String(userErrors[0]?.message))?.[1]
    expect(Date.parse(String(end))).toBeLessThanOrEqual(clock.now().getTime() + 100_000)
    clock.forward(Date.parse(String(end)) - clock.now().getTime())
    expect((await rotate(id)).endpoint?.secrets).toHaveLength(5)
    expect((await rotate(id, { overlapSeconds: 0 })).endpoint?.secrets).toHaveLength(1)
  })

  test('many at once come one after another: as many succeed as there is room for, and one is the newest', async () => {
    const { create, rotate, secretsOf, actions } = await world()
    const { id } = await create()
    const all = await Promise.all(Array.from({ length: 8 }, () => rotate(id)))
    const done = all.flatMap(({ secret }) => secret ?? [])
    expect(done).toHaveLength(4)
    expect(all.flatMap(({ userErrors }) => userErrors.map(({ code }) => code))).toEqual(
      Array(4).fill('TOO_MANY_SECRETS'),
    )
    expect((await secretsOf(id))?.slice(0, 4).sort()).toEqual(done.sort())
    expect((await actions()).filter((action) => action === 'ENDPOINT_ROTATE_SECRET')).toHaveLength(4)
  })

  test('keeps the newest first when the clock of another process was ahead', async () => {
    const { create, rotate, secretsOf, clock } = await world()
    const { id } = await create()
    clock.forward(2000)
    await rotate(id)
    clock.forward(-2000)
    const { secret } = await rotate(id)
    expect((await secretsOf(id))?.[0]).toBe(secret)
  })

  test('refuses an overlap that is longer than a week, or negative', async () => {
    const { create, rotate } = await world()
    const { id } = await create()
    for (const overlapSeconds of [-1, 604_801, 2_147_483_647]) {
      const { userErrors } = await rotate(id, { overlapSeconds })
      expect(userErrors).toMatchObject([{ code: 'INVALID_INPUT', path: ['overlapSeconds'] }])
    }
  })
})

test('a secret of one’s own is 24 to 64 bytes of canonical base64, and is never repeated where it is not', async () => {
  const { create, rotate, actions } = await world()
  const { id } = await create()
  const before = await actions()
  const bytes = (count: number) =>
    randomBytes(count)
      .fill(0xfb, 0, 1)
      .fill(0x03, count - 1)
  const good = bytes(32).toString('base64')
  const wrong = [
    `whsec_${bytes(23).toString('base64')}`,
    `whsec_${bytes(65).toString('base64')}`,
    `whsec_${good.replace('=', '')}`,
    `whsec_${good} `,
    `whsec_${Buffer.from(good, 'base64').toString('base64url')}`,
    `whsec_${good.slice(0, -2)}B=`,
    `WHSEC_${good}`,
    good,
    'whsec_',
    '',
  ]
  for (const secret of wrong) {
    const { userErrors } = await rotate(id, { secret })
    expect(userErrors, secret).toMatchObject([{ code: 'INVALID_INPUT', path: ['secret'] }])
    if (secret.length > 12) expect(userErrors[0]?.message).not.toContain(secret.slice(6, 16))
  }
  expect(await actions()).toEqual(before)
  for (const count of [24, 64]) {
    const secret = `whsec_${bytes(count).toString('base64')}`
    expect((await rotate(id, { secret })).secret).toBe(secret)
  }
})

test('what has ended is erased by and by', async () => {
  const { create, rotate, clock, db } = await world()
  const { id } = await create()
  await rotate(id, { overlapSeconds: 60 })
  await eraseEndedSecrets(db.sql, clock.now())
  expect((await db.sql`select from postrider.secrets`).count).toBe(2)
  clock.forward(60_000)
  await eraseEndedSecrets(db.sql, clock.now())
  expect(await db.sql`select signs_until from postrider.secrets`).toEqual([{ signs_until: null }])
})

test('secrets are seen without their values, by whoever sees their endpoint', async () => {
  const { create, rotate, ask, newKey, newTenant } = await world()
  const { id } = await create()
  const [newest, older] = (await rotate(id)).endpoint?.secrets ?? []
  const NODE = `query ($id: ID!) { node(id: $id) { __typename id ... on Secret { createdAt signsUntil endpoint { id } } } }`
  const reader = await newKey({ scopes: ['READ'] })
  for (const secret of [newest, older]) {
    expect(await ask(NODE, { id: secret?.id }, reader)).toEqual({
      node: { __typename: 'Secret', ...secret, endpoint: { id } },
    })
  }
  const other = await newKey({ tenantId: await newTenant('other'), scopes: ['ADMIN'] })
  expect(await ask(NODE, { id: newest?.id }, other)).toEqual({ node: null })
  const list = await ask(`{ endpoints { nodes { secrets { id createdAt signsUntil } } } }`, {}, reader)
  expect(list).toEqual({ endpoints: { nodes: [{ secrets: [newest, older] }] } })
  await rotate(id, { overlapSeconds: 0 })
  expect(await ask(NODE, { id: newest?.id }, reader)).toEqual({ node: null })
})

describe('revealing', () => {
  test('tells every secret that signs, newest first, and is noted', async () => {
    const { create, rotate, reveal, newKey, db } = await world()
    const { id, secret: first } = await create()
    const { secret: second, endpoint } = await rotate(id)
    const manager = await newKey({ scopes: ['MANAGE'], name: 'a manager' })
    const { secrets } = await reveal(id, manager)
    expect(secrets?.map(({ secret }) => secret)).toEqual([second, first])
    expect(secrets?.map(({ secret, ...metadata }) => metadata)).toEqual(endpoint?.secrets)
    const [entry] = await db.sql`select * from postrider.audit_log order by id desc limit 1`
    expect(entry).toMatchObject({
      action: 'ENDPOINT_REVEAL_SECRET',
      object: id,
      actor_name: 'a manager',
      address: '127.0.0.1',
    })
    expect(entry?.details).toEqual({ secrets: secrets?.map((secret) => secret.id) })
  })

  test('tells nobody when it cannot be noted', async () => {
    const { create, send, db } = await world()
    const { id, secret } = await create()
    await db.sql`alter table postrider.audit_log add check (action <> 'ENDPOINT_REVEAL_SECRET')`
    const answer = await send(REVEAL, { id })
    expect(answer.errors).toMatchObject([{ extensions: { code: 'INTERNAL' } }])
    expect(JSON.stringify(answer)).not.toContain(secret)
  })

  test('is for MANAGE', async () => {
    const { create, send, newKey, actions } = await world()
    const { id } = await create()
    const before = await actions()
    for (const document of [REVEAL, ROTATE]) {
      const { errors } = await send(document, { id }, await newKey({ scopes: ['READ', 'PUBLISH'] }))
      expect(errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }])
    }
    expect(await actions()).toEqual(before)
  })
})

test('of an endpoint that is another tenant’s, deleted or none, nothing can be rotated or revealed', async () => {
  const { create, rotate, reveal, ask, newKey, newTenant, actions } = await world()
  const { id } = await create()
  const { id: deleted } = await create()
  await ask(`mutation ($id: ID!) { endpointDelete(id: $id) { userErrors { message } } }`, { id: deleted })
  const before = await actions()
  const foreign = await newKey({ tenantId: await newTenant('other') })
  const refusals = await Promise.all([
    rotate(id, {}, foreign),
    reveal(id, foreign),
    ...[deleted, publicId('ep', newId(new Date()))].flatMap((id) => [rotate(id), reveal(id)]),
  ])
  for (const { userErrors, ...rest } of refusals) {
    expect(userErrors).toMatchObject([{ code: 'NOT_FOUND' }])
    expect(Object.values(rest).every((value) => value === null)).toBe(true)
  }
  expect(await actions()).toEqual(before)
})
