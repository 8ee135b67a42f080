import { expect, test } from 'vitest'
import { deliveryIdOf, type EndpointId, newId, parsePublicId, publicId } from '../../schema/ids.ts'
import { secretContext } from '../../src/endpoints/secrets.ts'
import { eventually } from '../support/eventually.ts'
import { startApi } from './api.ts'

const FIELDS = `id url description eventTypes method state timeoutSeconds maxInFlight retry { delaysSeconds } tenant { key }`
const CREATE = `mutation ($input: EndpointCreateInput!) {
  endpointCreate(input: $input) { endpoint { ${FIELDS} } secret userErrors { code path message } }
}`
const UPDATE = `mutation ($id: ID!, $input: EndpointUpdateInput!) {
  endpointUpdate(id: $id, input: $input) { endpoint { ${FIELDS} } userErrors { code path } }
}`
const change = (mutation: string) =>
  `mutation ($id: ID!) { ${mutation}(id: $id) { endpoint { id state disabledReason disabledAt } userErrors { code path } } }`

test('an endpoint is created with its defaults and a secret that is sealed', async () => {
  const { ask, db, sealer, tenantId } = await startApi()
  const { endpointCreate: created } = await ask(CREATE, { input: { url: 'https://example.com' } })

  expect(created).toEqual({
    endpoint: {
      id: expect.stringMatching(/^ep_[0-9a-z]{26}$/),
      url: 'https://example.com/',
      description: null,
      eventTypes: null,
      method: 'POST',
      state: 'ACTIVE',
      timeoutSeconds: 15,
      maxInFlight: 20,
      retry: { delaysSeconds: [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400] },
      tenant: { key: 'default' },
    },
    secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    userErrors: [],
  })
  const id = parsePublicId('ep', String(created?.endpoint?.id)) as EndpointId
  const [stored] = await db.sql<{ sealed: Buffer }[]>`select sealed from postrider.secrets where endpoint_id = ${id}`
  expect(sealer.open(stored?.sealed as Buffer, secretContext(tenantId, id))).toBe(created?.secret)
  expect(stored?.sealed.toString('latin1')).not.toContain(created?.secret)
})

test('what an update mentions changes; null is back to the default, absent is unchanged', async () => {
  const { ask } = await startApi()
  const input = {
    url: 'https://example.com/a',
    description: 'first',
    eventTypes: ['invoice.*', 'invoice.*'],
    method: 'PUT',
    retry: { delaysSeconds: [1, 2] },
    timeoutSeconds: 30,
    maxInFlight: 1000,
  }
  const { endpointCreate } = await ask(CREATE, { input })
  const id = endpointCreate?.endpoint?.id
  expect(endpointCreate?.endpoint).toMatchObject({ ...input, eventTypes: ['invoice.*'] })

  const { endpointUpdate: once } = await ask(UPDATE, { id, input: { url: 'https://example.com/b' } })
  expect(once?.endpoint).toEqual({ ...endpointCreate?.endpoint, url: 'https://example.com/b' })

  const nothing = {
    description: null,
    eventTypes: null,
    method: null,
    retry: null,
    timeoutSeconds: null,
    maxInFlight: null,
  }
  const { endpointUpdate: twice } = await ask(UPDATE, { id, input: nothing })
  expect(twice?.endpoint).toMatchObject({
    description: null,
    eventTypes: null,
    method: 'POST',
    timeoutSeconds: 15,
    maxInFlight: 20,
  })
  expect(twice?.endpoint?.retry?.delaysSeconds).toHaveLength(9)
})

test('an endpoint is refused for a wrong value, and the value named', async () => {
  const { ask, db } = await startApi()
  for (const [input, path, code] of [
    [{ url: 'ftp://example.com' }, ['url'], 'INVALID_URL'],
    [{ description: 'x'.repeat(1025) }, ['description']],
    [{ description: 'a\u0000b' }, ['description']],
    [{ eventTypes: [] }, ['eventTypes']],
    [{ eventTypes: ['ok', 'not ok'] }, ['eventTypes', '1']],
    [{ secret: 'whsec_c2hvcnQ=' }, ['secret']],
    [{ secret: `whsec_${'é'.repeat(40)}` }, ['secret']],
    [{ secret: `whsec_${Buffer.alloc(65).toString('base64')}` }, ['secret']],
    [{ retry: { delaysSeconds: [1, 0] } }, ['retry', 'delaysSeconds', '1']],
    [{ retry: { delaysSeconds: [604801] } }, ['retry', 'delaysSeconds', '0']],
    [{ retry: { delaysSeconds: Array(21).fill(1) } }, ['retry', 'delaysSeconds']],
    [{ retry: { fixed: { intervalSeconds: 60, attempts: 0 } } }, ['retry', 'fixed', 'attempts']],
    [{ retry: { fixed: { intervalSeconds: 604_800, attempts: 4 } } }, ['retry', 'fixed']],
    [{ retry: { exponential: { initialSeconds: 1, attempts: 5, factor: 11 } } }, ['retry', 'exponential', 'factor']],
    [{ timeoutSeconds: 31 }, ['timeoutSeconds']],
    [{ maxInFlight: 0 }, ['maxInFlight']],
    [{ tenant: 'nobody' }, ['tenant'], 'NOT_FOUND'],
    [{ tenant: '*' }, ['tenant'], 'NOT_FOUND'],
  ] as [object, string[], string?][]) {
    const { endpointCreate } = await ask(CREATE, { input: { url: 'https://example.com', ...input } })
    const userErrors = [{ code: code ?? 'INVALID_INPUT', path: ['input', ...path], message: expect.any(String) }]
    expect(endpointCreate).toEqual({ endpoint: null, secret: null, userErrors })
  }
  expect(await db.sql`select 1 from postrider.endpoints`).toHaveLength(0)
})

test('a schedule is given as a list, as growing waits or as a fixed one, and told in both ways', async () => {
  const { ask } = await startApi()
  const document = `mutation ($retry: RetryPolicyInput) { endpointCreate(input: { url: "https://example.com", retry: $retry }) {
    endpoint { retry { delaysSeconds exponential { initialSeconds factor maxSeconds attempts } fixed { intervalSeconds attempts } } }
  } }`
  const told = async (retry: object | null) => (await ask(document, { retry })).endpointCreate?.endpoint?.retry
  expect(await told({ delaysSeconds: [1, 2, 4, 8, 16] })).toEqual({
    delaysSeconds: [1, 2, 4, 8, 16],
    exponential: null,
    fixed: null,
  })
  expect(await told({ exponential: { initialSeconds: 1, attempts: 6 } })).toEqual({
    delaysSeconds: [1, 2, 4, 8, 16],
    exponential: { initialSeconds: 1, factor: 2, maxSeconds: 86_400, attempts: 6 },
    fixed: null,
  })
  expect(await told({ fixed: { intervalSeconds: 60, attempts: 3 } })).toEqual({
    delaysSeconds: [60, 60],
    exponential: null,
    fixed: { intervalSeconds: 60, attempts: 3 },
  })
})

test('the URL of an endpoint cannot be taken away', async () => {
  const { ask } = await startApi()
  const { endpointCreate } = await ask(CREATE, { input: { url: 'https://example.com' } })
  const { endpointUpdate } = await ask(UPDATE, { id: endpointCreate?.endpoint?.id, input: { url: null } })
  expect(endpointUpdate?.userErrors).toEqual([{ code: 'INVALID_INPUT', path: ['input', 'url'] }])
})

test('pausing and resuming move the state, and resuming flags what waits', async () => {
  const { ask, db } = await startApi()
  const { endpointCreate } = await ask(CREATE, { input: { url: 'https://example.com' } })
  const id = endpointCreate?.endpoint?.id
  expect((await ask(change('endpointPause'), { id })).endpointPause).toMatchObject({ endpoint: { state: 'PAUSED' } })
  expect((await ask(change('endpointPause'), { id })).endpointPause).toMatchObject({ endpoint: { state: 'PAUSED' } })
  expect((await ask(change('endpointResume'), { id })).endpointResume).toMatchObject({ endpoint: { state: 'ACTIVE' } })
  expect(await db.sql`select backlog from postrider.endpoints`).toEqual([{ backlog: true }])

  await db.sql`update postrider.endpoints set state = 'DISABLED', disabled_reason = 'GONE', disabled_at = now()`
  expect((await ask(change('endpointPause'), { id })).endpointPause).toMatchObject({
    endpoint: { state: 'DISABLED', disabledReason: 'GONE', disabledAt: expect.any(String) },
  })
  expect((await ask(change('endpointResume'), { id })).endpointResume).toMatchObject({
    endpoint: { state: 'ACTIVE', disabledReason: null, disabledAt: null },
  })
})

test('deleting an endpoint erases its secrets, cancels what is pending and hides it', async () => {
  const { ask, db, tenantId } = await startApi()
  const { endpointCreate } = await ask(CREATE, { input: { url: 'https://example.com' } })
  const id = endpointCreate?.endpoint?.id
  const endpointId = parsePublicId('ep', String(id)) as EndpointId
  const insert = async (columns: object) => {
    const eventId = newId<'evt'>(new Date())
    const row = {
      id: deliveryIdOf(eventId, endpointId),
      tenant_id: tenantId,
      event_id: eventId,
      endpoint_id: endpointId,
      event_type: 'a',
      created_at: new Date().toISOString(),
      ...columns,
    }
    await db.sql`insert into postrider.deliveries ${db.sql(row)}`
    return publicId('dlv', row.id)
  }
  const now = new Date().toISOString()
  const waiting = await insert({ state: 'PENDING', waiting_for: 'RETRY', next_attempt_at: now })
  const going = await insert({ state: 'PENDING', ticket_id: newId(new Date()) })
  const failed = await insert({
    state: 'FAILED',
    settled_at: now,
    ticket_id: newId(new Date()),
    requested_trigger: 'MANUAL',
    requested_at: now,
  })
  const delivered = await insert({ state: 'DELIVERED', settled_at: now })

  expect((await ask(change('endpointDelete'), { id })).endpointDelete).toEqual({
    endpoint: { id, state: 'ACTIVE', disabledReason: null, disabledAt: null },
    userErrors: [],
  })

  const { deliveries } = await ask(
    `{ deliveries { nodes { id state settledAt nextAttemptAt endpoint { id } endpointId } } }`,
  )
  const states = Object.fromEntries(
    (Object.values(deliveries?.nodes ?? {}) as never as { id: string; state: string }[]).map((one) => [
      one.id,
      one.state,
    ]),
  )
  expect(states).toEqual({ [waiting]: 'CANCELLED', [going]: 'CANCELLED', [failed]: 'FAILED', [delivered]: 'DELIVERED' })
  expect(deliveries?.nodes?.[0]).toMatchObject({
    endpoint: null,
    endpointId: id,
    nextAttemptAt: null,
    settledAt: expect.any(String),
  })
  expect(
    await db.sql`select 1 from postrider.deliveries where ticket_id is not null or requested_trigger is not null`,
  ).toEqual([])
  expect(await db.sql`select 1 from postrider.secrets`).toEqual([])

  expect(
    await ask(`query ($id: ID!) { endpoint(id: $id) { id } node(id: $id) { id } endpoints { nodes { id } } }`, { id }),
  ).toEqual({
    endpoint: null,
    node: null,
    endpoints: { nodes: [] },
  })
  for (const mutation of ['endpointDelete', 'endpointPause', 'endpointResume']) {
    const { [mutation]: answer } = await ask(change(mutation), { id })
    expect(answer).toEqual({ endpoint: null, userErrors: [{ code: 'NOT_FOUND', path: ['id'] }] })
  }
})

test('a secret of one’s own is taken as it is', async () => {
  const { ask } = await startApi()
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  const { endpointCreate } = await ask(CREATE, { input: { url: 'https://example.com', secret } })
  expect(endpointCreate?.secret).toBe(secret)
})

test('deleting an endpoint gives way to what is being settled, and then goes through', async () => {
  const { ask, db, tenantId } = await startApi()
  const { endpointCreate } = await ask(CREATE, { input: { url: 'https://example.com' } })
  const id = endpointCreate?.endpoint?.id
  const endpointId = parsePublicId('ep', String(id)) as EndpointId
  const eventId = newId<'evt'>(new Date())
  const deliveryId = deliveryIdOf(eventId, endpointId)
  await db.sql`insert into postrider.deliveries (id, tenant_id, event_id, endpoint_id, event_type, ticket_id, created_at)
    values (${deliveryId}, ${tenantId}, ${eventId}, ${endpointId}, 'a', gen_random_uuid(), now())`

  const { deleting } = await db.transaction(async (tx) => {
    await tx`update postrider.deliveries set attempts_made = 1 where id = ${deliveryId}`
    const deleting = ask(change('endpointDelete'), { id })
    await eventually(async () => {
      const waiting = await db.sql`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      expect(waiting).toHaveLength(1)
    })
    // Each holds now what the other waits for.
    await tx`update postrider.endpoints set backlog = true where id = ${endpointId}`
    // Not the promise itself: the transaction would wait for what waits for it.
    return { deleting }
  })
  expect((await deleting).endpointDelete?.userErrors).toEqual([])
  expect(await db.sql`select state from postrider.deliveries`).toEqual([{ state: 'CANCELLED' }])
})
