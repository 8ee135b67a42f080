import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { openClient } from '../../src/postgres/client.ts'
import { startEngine } from '../support/engine.ts'
import { createProducer } from '../support/publish-in-sql.ts'

const top = fileURLToPath(new URL('../..', import.meta.url))
const DOCUMENT = readFileSync(`${top}/docs/sql-publish.md`, 'utf8')
const blocks = (language: string) =>
  [...DOCUMENT.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, text]) => String(text))
const run = promisify(execFile)

test('everything in docs/sql-publish.md can be run as it stands there', async () => {
  const { address, db } = await startEngine({ worker: false })
  const { asAdmin } = await createProducer(address)
  const shop = await openClient({ ...address, user: 'shop' }, { max: 1, name: 'shop', log: silentLog })
  onTestFinished(async () => {
    await shop.end()
    await asAdmin.unsafe('drop owned by shop cascade; drop role shop')
  })
  const published = async () => {
    const rows = await db.sql<{ type: string; payload: string }[]>`
      select type, payload from postrider.events join postrider.event_payloads using (id) order by id`
    return rows.map(({ type, payload }) => `${type} ${payload}`)
  }

  for (const sql of blocks('sql')) {
    const asWho = /^-- as (.+)$/m.exec(sql)?.[1]
    if (asWho === 'an administrator') {
      await asAdmin.unsafe(sql)
      await asAdmin.unsafe(
        `create schema shop authorization shop; set role shop; create table shop.orders (id bigint generated always as identity, customer text, total numeric); reset role`,
      )
    } else await shop.unsafe(sql)
  }
  expect(await published()).toEqual([
    'order.placed {"customer": "cus_7", "total": "49.00"}',
    'order.shipped {"order" : 1, "weight" : 1.10}',
    'order.placed {"id":2,"customer":"cus_10","total":1.10}',
    'order.placed {"id":3,"customer":"cus_11","total":3}',
  ])

  await asAdmin`drop trigger order_placed on shop.orders`
  const env = {
    ...process.env,
    PGHOST: address.host,
    PGPORT: String(address.port),
    PGUSER: 'shop',
    PGDATABASE: address.database,
  }
  const [program] = blocks('js')
  await run(process.execPath, ['--input-type=module', '--eval', String(program)], { cwd: top, env })
  const [psql] = blocks('sh')
  const { stdout } = await run('bash', ['-euc', `command -v psql >/dev/null || exit 0; ${psql}`], { env })
  expect((await published()).slice(4)).toEqual([
    'order.placed {"id":"4","customer":"cus_9","total":"7"}',
    ...(stdout === '' ? [] : ['order.placed {"customer": "cus_8", "total": "12.50"}']),
  ])
  const [orders] = await db.sql`select count(*)::int from postrider.events`
  expect(orders?.count).toBe(stdout === '' ? 5 : 6)
})

test('every code that can be answered is explained', async () => {
  const { db } = await startEngine({ worker: false })
  const [refuse] = await db.sql`select prosrc from pg_proc where oid = 'postrider.refuse_event'::regproc`
  const codes = [...String(refuse?.prosrc).matchAll(/'(PR\d{3})'/g)].map(([, code]) => code)
  expect([...DOCUMENT.matchAll(/^\| `(PR\d{3})`/gm)].map(([, code]) => code)).toEqual(codes)
})
