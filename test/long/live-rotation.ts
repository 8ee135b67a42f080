import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { expect, onTestFinished } from 'vitest'
import { type EndpointId, newId, publicId, type TenantId } from '../../schema/ids.ts'
import { secretContext } from '../../src/endpoints/secrets.ts'
import type { Db } from '../../src/postgres/client.ts'
import { checkMasterKeys } from '../../src/sealing/key-check.ts'
import { keysInUse } from '../../src/sealing/keys-in-use.ts'
import { type MasterKey, parseMasterKeys } from '../../src/sealing/master-keys.ts'
import { createSealer } from '../../src/sealing/sealer.ts'
import { type Api, launch, publish, settingsFor } from '../support/app.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type ReceivedRequest, startReceiver } from '../support/receiver.ts'

const COMMAND = new URL('../../src/commands/keys-rotate.ts', import.meta.url).pathname

/** `npm run keys:rotate` in a process of its own, gone when the test has finished. */
export function startRotation(environment: Record<string, string>, ...options: string[]) {
  const child: ChildProcess = spawn(process.execPath, [COMMAND, ...options], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout?.on('data', (chunk) => (output += chunk))
  child.stderr?.on('data', (chunk) => (output += chunk))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  onTestFinished(kill)
  return { ended, kill, output: () => output }
}

export async function rotateKeys(environment: Record<string, string>, ...options: string[]) {
  const run = startRotation(environment, ...options)
  const code = await run.ended
  return { code, output: run.output() }
}

/**
 * The master key is changed while everything is in use: the command is killed with -9 half-way and run again, endpoints get new
 * signing secrets meanwhile, and whatever arrives must verify. Returns what it took.
 */
export async function rotateLive(count: number) {
  const [oldText, newText] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')]
  const [oldKey, newKey] = parseMasterKeys(`${oldText},${newText}`) as [MasterKey, MasterKey]
  const address = await createDatabase()
  const db = await openDatabase(address)
  const settings = await settingsFor(address)
  const withKeys = (...keys: string[]) => ({ ...settings, POSTRIDER_MASTER_KEYS: keys.join() })
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())

  const first = await launch(withKeys(oldText))
  const secrets = await insertEndpoints(db, count, receiver.url, oldKey)
  await publish(first.api(), { type: 'invoice.paid', payload: { n: 0 } })
  await receiver.waitForRequests(count, 60_000)

  // While a running server lacks the new key, nothing is changed.
  const early = await rotateKeys(withKeys(newText, oldText))
  expect(early).toMatchObject({ code: 1, output: expect.stringContaining('does not have the newest key') })
  expect(await inUse(db)).toEqual({ [oldKey.id]: count })
  expect(await first.stop()).toBe(0)

  const second = await launch(withKeys(newText, oldText))
  const traffic = keepPublishing(second.api(), 1 + count / 250)
  await slowDown(db)
  const doomed = startRotation(withKeys(newText, oldText))
  const meanwhile = rotateSome(second.api(), secrets, 0)
  await eventually(() => expect(doomed.output()).toContain('Sealed anew:'), 30_000)
  // Then it is in the middle of a batch.
  await eventually(async () => expect((await inUse(db))[newKey.id]).toBeGreaterThanOrEqual(count * 0.4), 30_000)
  await doomed.kill()
  const half = await inUse(db)
  expect(half[newKey.id], 'sealed anew when it was killed').toBeGreaterThan(100)
  expect(half[oldKey.id], 'left when it was killed').toBeGreaterThan(0)

  await meanwhile
  await db.sql`drop trigger slow on postrider.secrets`
  const startedAt = performance.now()
  const [finished] = await Promise.all([rotateKeys(withKeys(newText, oldText)), rotateSome(second.api(), secrets, 10)])
  const ms = Math.round(performance.now() - startedAt)
  expect(finished).toMatchObject({
    code: 0,
    output: expect.stringContaining(`Nothing in this database needs ${oldKey.id} any more`),
  })
  expect(Object.keys(await inUse(db))).toEqual([newKey.id])

  const events = await traffic.stop()
  await receiver.waitForRequests((events + 1) * count, 120_000)
  expect(await second.stop()).toBe(0)
  const third = await launch(withKeys(newText))
  await publish(third.api(), { type: 'invoice.paid', payload: { n: -1 } })
  await receiver.waitForRequests((events + 2) * count, 60_000)
  expect(await third.stop()).toBe(0)
  await expect(checkMasterKeys(db.sql, createSealer([oldKey]))).rejects.toThrow(`${newKey.id} (`)

  expect(receiver.requests).toHaveLength((events + 2) * count)
  expect(receiver.requests.filter((request) => !isVerified(request, secrets))).toHaveLength(0)
  const [failed] = await db.sql<[{ count: number }]>`select count(*)::int from postrider.attempts where not succeeded`
  expect(failed.count).toBe(0)
  const entries =
    await db.sql`select actor_kind, details from postrider.audit_log where action = 'KEYS_ROTATE' order by id`
  expect(entries).toMatchObject([
    {
      actor_kind: 'SYSTEM',
      details: { newestKey: newKey.id, toSealAnew: [{ key: oldKey.id, what: 'signing secret', count }] },
    },
    { actor_kind: 'SYSTEM', details: { newestKey: newKey.id } },
  ])
  return {
    endpoints: count,
    sealedAnewWhenKilled: half[newKey.id],
    secondRunMs: ms,
    events: events + 2,
    deliveries: receiver.requests.length,
  }
}

type Secrets = Map<string, { id: string; values: string[] }>

/** Endpoints at paths of their own, so that a request tells which secrets it must verify with. */
async function insertEndpoints(db: Db, count: number, url: string, key: MasterKey): Promise<Secrets> {
  const sealer = createSealer([key])
  const [tenant] = await db.sql<{ id: TenantId }[]>`select id from postrider.tenants where key = 'default'`
  const tenantId = tenant?.id as TenantId
  const made = Array.from({ length: count }, (_, n) => {
    const endpointId: EndpointId = newId<'ep'>(new Date())
    const value = `whsec_${randomBytes(32).toString('base64')}`
    return {
      endpointId,
      url: `${url}/${n}`,
      value,
      sealed: sealer.seal(value, secretContext(tenantId, endpointId)).toString('hex'),
    }
  })
  const ids = made.map(({ endpointId }) => endpointId)
  await db.transaction(async (tx) => {
    await tx`insert into postrider.endpoints (id, tenant_id, url, timeout_seconds, max_in_flight, created_at, updated_at)
      select id, ${tenantId}, url, 30, 20, now(), now() from unnest(${ids}::uuid[], ${made.map(({ url }) => url)}::text[]) as made (id, url)`
    await tx`insert into postrider.secrets (id, tenant_id, endpoint_id, sealed, created_at)
      select id, ${tenantId}, endpoint, decode(sealed, 'hex'), now()
      from unnest(${made.map(() => newId(new Date()))}::uuid[], ${ids}::uuid[], ${made.map(({ sealed }) => sealed)}::text[]) as made (id, endpoint, sealed)`
  })
  return new Map(
    made.map(({ endpointId, url, value }) => [
      new URL(url).pathname,
      { id: publicId('ep', endpointId), values: [value] },
    ]),
  )
}

/** Each changed row takes a while: a thousand take several seconds, and a kill comes half-way. */
async function slowDown(db: Db): Promise<void> {
  await db.sql.unsafe(`
    create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(0.004); return new; end $$;
    create trigger slow before update on postrider.secrets for each row execute function slowly()`)
}

function keepPublishing(api: Api, secondsApart: number) {
  let events = 0
  let stopped = false
  let pause = () => {}
  const loop = (async () => {
    while (!stopped) {
      await publish(api, { type: 'invoice.paid', payload: { n: ++events } })
      await new Promise<void>((resolve) => {
        pause = resolve
        setTimeout(resolve, secondsApart * 1000)
      })
    }
  })()
  return {
    async stop() {
      stopped = true
      pause()
      await loop
      return events
    },
  }
}

/** Some endpoints get a new signing secret at the same time. */
async function rotateSome(api: Api, secrets: Secrets, from: number): Promise<void> {
  for (const secret of [...secrets.values()].slice(from, from + 10)) {
    const { endpointRotateSecret } = await api.ask<{ endpointRotateSecret: { secret: string; userErrors: unknown[] } }>(
      `mutation ($id: ID!) { endpointRotateSecret(id: $id) { secret userErrors { message } } }`,
      { id: secret.id },
    )
    expect(endpointRotateSecret.userErrors).toEqual([])
    secret.values.push(endpointRotateSecret.secret)
  }
}

function isVerified({ path, body, headers }: ReceivedRequest, secrets: Secrets): boolean {
  return (
    secrets.get(path)?.values.some((value) => {
      try {
        new Webhook(value).verify(body.toString(), headers)
        return true
      } catch {
        return false
      }
    }) ?? false
  )
}

async function inUse(db: Db): Promise<Record<string, number>> {
  return Object.fromEntries((await keysInUse(db.sql)).map(({ keyId, count }) => [keyId, count]))
}
