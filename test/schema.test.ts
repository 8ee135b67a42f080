import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { is } from 'drizzle-orm'
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core'
import { isTypeDefinitionNode, Kind, parse, visit } from 'graphql'
import { describe, expect, onTestFinished, test } from 'vitest'
import { printedOperationalEvents } from '../schema/operational-events.ts'
import { printedSchema } from '../src/graphql/schema.ts'
import { openDatabase } from './support/database.ts'

const top = fileURLToPath(new URL('..', import.meta.url))
const migrations = join(top, 'schema/migrations')

describe('schema/schema.graphql', () => {
  test('is what the program serves; `npm run schema` writes it', async () => {
    expect(printedSchema()).toBe(await readFile(join(top, 'schema/schema.graphql'), 'utf8'))
  })

  test('describes every type, field, argument and enum value', () => {
    expect(undescribedIn(printedSchema())).toEqual([])
  })

  test('would be noticed with anything undescribed', () => {
    const sdl = `
      "A" type A { "b" b("c" c: Int, d: Int): Int  e: Int }
      type F { "g" g: Int }
      "H" enum H { "I" I J }
      "K" input K { "l" l: Int  m: Int }
      "N" interface N { o: Int }
      scalar P
      union Q = A | F`
    expect(undescribedIn(sdl)).toEqual(['A.b.d', 'A.e', 'F', 'H.J', 'K.m', 'N.o', 'P', 'Q'])
  })
})

test('schema/operational-events.json has what operational events really are', async () => {
  expect(printedOperationalEvents()).toBe(await readFile(join(top, 'schema/operational-events.json'), 'utf8'))
})

function undescribedIn(sdl: string): string[] {
  const found: string[] = []
  const way: string[] = []
  visit(parse(sdl), {
    enter(node) {
      const isMember =
        node.kind === Kind.FIELD_DEFINITION ||
        node.kind === Kind.INPUT_VALUE_DEFINITION ||
        node.kind === Kind.ENUM_VALUE_DEFINITION
      if (!isMember && !isTypeDefinitionNode(node)) return
      way.push(node.name.value)
      if (!node.description?.value.trim()) found.push(way.join('.'))
    },
    leave(node) {
      if ('name' in node && node.name?.value === way.at(-1) && node.kind !== Kind.NAMED_TYPE) way.pop()
    },
  })
  return found
}

describe('schema/migrations', () => {
  test('has everything that schema/tables says; `npm run migration` writes what is missing', async () => {
    const before = await contentsOf(migrations)
    const copy = await copyMigrations()

    const said = generate(copy)

    expect(said).toContain('No schema changes')
    expect(await contentsOf(copy)).toEqual(before)
    expect(await contentsOf(migrations)).toEqual(before)
  })

  test('would be noticed without a column', async () => {
    const copy = await copyMigrations()
    const newest = (await readdir(join(copy, 'meta')))
      .filter((name) => name.endsWith('_snapshot.json'))
      .sort()
      .at(-1)
    const snapshot = JSON.parse(await readFile(join(copy, 'meta', String(newest)), 'utf8'))
    delete snapshot.tables['postrider.tenants'].columns.created_at
    await writeFile(join(copy, 'meta', String(newest)), JSON.stringify(snapshot))

    generate(copy)

    const drift = (await readdir(copy)).find((name) => name.endsWith('_drift.sql'))
    expect(await readFile(join(copy, String(drift)), 'utf8')).toContain('ADD COLUMN "created_at"')
  })

  // Migrations are finished by hand, for partitions: what they make is compared with the tables, too.
  test('makes the very columns of schema/tables', async () => {
    const db = await openDatabase()
    const columns = await db.sql<{ name: string }[]>`
      select format('%s.%s %s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' end) as name
      from pg_attribute a join pg_class c on c.oid = a.attrelid
      where c.relnamespace = 'postrider'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        and c.relname <> 'migrations' and a.attnum > 0 and not a.attisdropped`
    expect(columns.map(({ name }) => name).sort()).toEqual(await declaredColumns())
  })
})

/** In the words of Postgres: `events.id uuid not null`. */
async function declaredColumns(): Promise<string[]> {
  const files = (await readdir(join(top, 'schema/tables'))).filter((name) => name.endsWith('.ts'))
  const modules = await Promise.all(files.map((name) => import(join(top, 'schema/tables', name))))
  const tables = modules.flatMap((module) => Object.values(module)).filter((value) => is(value, PgTable))
  return tables
    .flatMap((table) => {
      const { name, columns } = getTableConfig(table)
      return columns.map((column) => {
        const type = column.getSQLType().replace(' (', '(')
        return `${name}.${column.name} ${type}${column.notNull ? ' not null' : ''}`
      })
    })
    .sort()
}

async function copyMigrations(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'postrider-migrations-'))
  onTestFinished(() => rm(copy, { recursive: true }))
  await cp(migrations, copy, { recursive: true })
  return copy
}

/** Lets drizzle-kit write the migration that is missing in `folder`, and answers what it said. */
function generate(folder: string): string {
  const tool = join(top, 'node_modules/drizzle-kit/bin.cjs')
  // It takes every path for a relative one.
  const out = ['--dialect', 'postgresql', '--schema', './schema/tables/*.ts', '--out', relative(top, folder)]
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [tool, 'generate', ...out, '--prefix', 'timestamp', '--name', 'drift'],
    { cwd: top, encoding: 'utf8', timeout: 20_000, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  if (status !== 0) throw new Error(`drizzle-kit failed: ${stdout}${stderr}`)
  return stdout
}

async function contentsOf(folder: string): Promise<Record<string, string>> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).sort()
  return Object.fromEntries(
    await Promise.all(paths.map(async (path) => [relative(folder, path), await readFile(path, 'utf8')] as const)),
  )
}
