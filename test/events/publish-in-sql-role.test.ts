import { expect, test } from 'vitest'
import type { Sql } from '../../src/postgres/client.ts'
import { startEngine } from '../support/engine.ts'
import { createProducer, publishIn } from '../support/publish-in-sql.ts'

async function world() {
  const { address, db } = await startEngine({ worker: false })
  const { name, sql, asAdmin, mayPublish } = await createProducer(address)
  // What it may call its own, as most roles have something.
  await asAdmin.unsafe(`create schema mine authorization ${name}`)
  return { db, name, producer: sql, mayPublish }
}

const denied = { code: '42501' }

test('whoever was not granted it cannot publish, even where the schema may be used', async () => {
  const { db, producer, name } = await world()
  await expect(publishIn(producer)).rejects.toMatchObject(denied)
  await db.sql.unsafe(`grant usage on schema postrider to ${name}`)
  await expect(publishIn(producer)).rejects.toMatchObject(denied)
})

test('whoever was granted it can publish, and do nothing else', async () => {
  const { db, producer, mayPublish } = await world()
  await mayPublish()
  await publishIn(producer, { idempotency_key: 'k' })

  const relations = await db.sql<{ name: string; kind: string }[]>`
    select relnamespace::regnamespace || '.' || relname as name, relkind as kind from pg_class
    where relnamespace in ('postrider'::regnamespace, 'postrider_queue'::regnamespace) and relkind in ('r', 'p', 'S', 'v')`
  expect(relations.length).toBeGreaterThan(100)
  for (const { name, kind } of relations) {
    const tries =
      kind === 'S'
        ? [`select nextval('${name}')`, `select last_value from ${name}`]
        : [`select from ${name}`, `delete from ${name}`, `insert into ${name} default values`, `truncate ${name}`]
    for (const sql of tries) await expect(producer.unsafe(sql), sql).rejects.toMatchObject(denied)
  }
  const functions = await db.sql<{ call: string }[]>`
    select format('%s.%s(%s)', pronamespace::regnamespace, proname, (select string_agg(format('null::%s', t::regtype), ', ') from unnest(proargtypes) t)) as call
    from pg_proc p where pronamespace in ('postrider'::regnamespace, 'postrider_queue'::regnamespace) and proname <> 'publish'`
  expect(functions.length).toBeGreaterThan(7)
  for (const { call } of functions) await expect(producer.unsafe(`select ${call}`), call).rejects.toMatchObject(denied)
  const others = [
    'create table postrider.mine ()',
    'create schema another',
    'create or replace function postrider.publish(text, text) returns text language sql as $$ select 1 $$',
    'alter function postrider.publish security invoker',
    'drop function postrider.publish',
    'set role postrider',
  ]
  for (const sql of others) await expect(producer.unsafe(sql), sql).rejects.toMatchObject(denied)
  // A warning only: it hands on nothing.
  await producer.unsafe('grant execute on function postrider.publish to public')
  const granted = await db.sql`
    select from pg_proc, aclexplode(proacl) where pg_proc.oid = 'postrider.publish'::regproc and grantee = 0`
  expect(granted).toHaveLength(0)
  const [row] = await db.sql`select count(*)::int as events from postrider.events`
  expect(row).toEqual({ events: 1 })
})

test('nothing that a session can set or make leads the function astray', async () => {
  const { db, producer, mayPublish } = await world()
  await mayPublish()
  await producer.unsafe(`
    create temp table events (id uuid, tenant_id uuid, type text, version text, channels text[], ordering_key text, occurred_at timestamptz);
    create temp table tenants (id uuid, key text, deleted_at timestamptz);
    create temp table installation (max_payload_bytes integer, idempotency_hours float, refuses_unknown_event_types boolean);
    create function mine.octet_length(text) returns integer language sql as 'select 0';
    create function mine.always(text, text) returns boolean language sql as 'select true';
    create operator mine.~ (leftarg = text, rightarg = text, function = mine.always);
    grant usage on schema mine to public;
    set search_path = mine, pg_temp, pg_catalog, postrider;
    set standard_conforming_strings = off;
    set escape_string_warning = off;
    set transform_null_equals = on;
    set datestyle = 'German, DMY';
    set timezone = 'Asia/Kathmandu';
    set intervalstyle = 'sql_standard';
    set bytea_output = 'escape';
    set extra_float_digits = -15`)
  const given = { occurred_at: '2026-01-02T03:04:05.678Z', payload: '{"a":"\\\\ud83d"}', idempotency_key: 'k' }
  const id = await publishIn(producer, given)
  expect(await publishIn(db.sql, given)).toBe(id)
  expect(await refusals(producer)).toEqual(await refusals(db.sql))
  const [row] = await db.sql`select type, occurred_at = '2026-01-02T03:04:05.678Z' as moment from postrider.events`
  expect(row).toEqual({ type: 'order.placed', moment: true })
})

async function refusals(sql: Sql): Promise<unknown[]> {
  const given = [
    { type: 'order!placed' },
    { payload: '"\\ud83d"' },
    { payload: '['.repeat(65) + ']'.repeat(65) },
    { payload: '1 2' },
    { version: '' },
  ]
  return Promise.all(
    given.map((one) => publishIn(sql, one).catch(({ code, message, hint }) => ({ code, message, hint }))),
  )
}
