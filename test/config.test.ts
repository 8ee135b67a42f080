import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Checks, InvalidConfiguration, readConfig } from '../src/config.ts'
import { parseNetworks } from '../src/egress/address-rules.ts'
import { parseProxy } from '../src/egress/proxy-url.ts'
import { parseHosts } from '../src/egress/url-rules.ts'

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

// As the process itself has them.
const CHECKS: Checks = {
  POSTRIDER_ALLOW_NETWORKS: parseNetworks,
  POSTRIDER_ALLOW_HOSTS: parseHosts,
  POSTRIDER_EGRESS_PROXY: parseProxy,
}

function faultsOf(environment: Record<string, string>): string[] {
  try {
    readConfig(environment, CHECKS)
  } catch (error) {
    if (error instanceof InvalidConfiguration) return error.faults
    throw error
  }
  return []
}

test('an empty environment is a whole configuration', () => {
  expect(readConfig({})).toEqual({
    host: '127.0.0.1',
    port: 4000,
    listens: true,
    databaseUrl: null,
    dataDir: resolve('.postrider'),
    role: 'all',
    adminKey: null,
    masterKeys: null,
    allowNetworks: '',
    allowHosts: '',
    httpsOnly: false,
    egressProxy: null,
    allowedOrigins: [],
    introspection: true,
    graphiql: true,
    unknownEventTypes: 'accept',
    maxPayloadBytes: 262_144,
    idempotencyHours: 24,
    rateLimit: null,
    retention: { days: 30, bodyDays: 30 },
    workerConcurrency: 256,
    health: { failingAfterSeconds: 300, disableAfterSeconds: 432_000, disableAfterAttempts: 20 },
    shutdownSeconds: 35,
    logLevel: 'info',
  })
})

test('an empty variable is as good as none', () => {
  expect(readConfig({ PORT: '', DATABASE_URL: '', POSTRIDER_ALLOWED_ORIGINS: '' })).toEqual(readConfig({}))
})

test('what is given is taken', () => {
  const given = {
    HOST: '0.0.0.0',
    PORT: '0',
    DATABASE_URL: 'postgres://u:p@db:5432/postrider',
    POSTRIDER_MASTER_KEYS: 'AAAA',
    POSTRIDER_ROLE: 'worker',
    POSTRIDER_ALLOW_HOSTS: 'localhost',
    POSTRIDER_HTTPS_ONLY: 'true',
    POSTRIDER_EGRESS_PROXY: 'http://proxy.internal:3128',
    POSTRIDER_ALLOWED_ORIGINS: 'https://a.example, http://localhost:3000',
    POSTRIDER_INTROSPECTION: 'false',
    POSTRIDER_WORKER_CONCURRENCY: '8',
    POSTRIDER_SHUTDOWN_SECONDS: '25',
  }
  expect(readConfig(given)).toMatchObject({
    host: '0.0.0.0',
    port: 0,
    databaseUrl: 'postgres://u:p@db:5432/postrider',
    role: 'worker',
    allowHosts: 'localhost',
    httpsOnly: true,
    egressProxy: 'http://proxy.internal:3128',
    allowedOrigins: ['https://a.example', 'http://localhost:3000'],
    introspection: false,
    workerConcurrency: 8,
    shutdownSeconds: 25,
  })
})

test('a worker listens only where it is told to', () => {
  expect(readConfig({ POSTRIDER_ROLE: 'worker' }).listens).toBe(false)
  expect(readConfig({ POSTRIDER_ROLE: 'worker', PORT: '0' }).listens).toBe(true)
  expect(readConfig({ POSTRIDER_ROLE: 'api' }).listens).toBe(true)
})

test('every fault is told at once, by name', () => {
  const faults = faultsOf({
    PORT: '70000',
    DATABASE_URL: 'localhost/postrider',
    POSTRIDER_ROLE: 'boss',
    POSTRIDER_ADMIN_KEY: 'short',
    POSTRIDER_ALLOWED_ORIGINS: 'https://a.example/path',
    POSTRIDER_HTTPS_ONLY: '1',
    POSTRIDER_GRAPHIQL: 'yes',
    POSTRIDER_MAX_PAYLOAD_BYTES: 'many',
    POSTRIDER_IDEMPOTENCY_HOURS: '0',
    POSTRIDER_WORKER_CONCURRENCY: '-1',
    POSTRIDER_SHUTDOWN_SECONDS: '0',
    POSTRIDER_LOG_LEVEL: 'loud',
  })
  expect(faults.map((fault) => fault.split(' ')[0]).sort()).toEqual([
    'DATABASE_URL',
    'PORT',
    'POSTRIDER_ADMIN_KEY',
    'POSTRIDER_ALLOWED_ORIGINS',
    'POSTRIDER_GRAPHIQL',
    'POSTRIDER_HTTPS_ONLY',
    'POSTRIDER_IDEMPOTENCY_HOURS',
    'POSTRIDER_LOG_LEVEL',
    'POSTRIDER_MASTER_KEYS',
    'POSTRIDER_MAX_PAYLOAD_BYTES',
    'POSTRIDER_ROLE',
    'POSTRIDER_SHUTDOWN_SECONDS',
    'POSTRIDER_WORKER_CONCURRENCY',
  ])
  expect(() => readConfig({ PORT: 'x', HOST: '', POSTRIDER_ROLE: 'x' })).toThrow(
    /has 2 faults:\n {2}PORT .*\n {2}POSTRIDER_ROLE /,
  )
})

test.each`
  environment                                                                           | fault
  ${{ PORT: '70000' }}                                                                  | ${'PORT must be from 0 to 65535'}
  ${{ PORT: '40 00' }}                                                                  | ${'PORT must be a whole number'}
  ${{ DATABASE_URL: 'mysql://db' }}                                                     | ${'DATABASE_URL must look like postgres://user:password@host:5432/database'}
  ${{ DATABASE_URL: 'postgres://db/postrider' }}                                        | ${'POSTRIDER_MASTER_KEYS is required with DATABASE_URL'}
  ${{ POSTRIDER_ALLOWED_ORIGINS: 'https://a.example *' }}                               | ${'POSTRIDER_ALLOWED_ORIGINS has "*", which is not an origin'}
  ${{ POSTRIDER_ALLOW_NETWORKS: '10/8 ::1' }}                                           | ${'POSTRIDER_ALLOW_NETWORKS: not a network (like 10.0.0.0/8 or fd00::/8) or an address: "10/8"'}
  ${{ POSTRIDER_ALLOW_HOSTS: 'a b:1' }}                                                 | ${'POSTRIDER_ALLOW_HOSTS: not a host name'}
  ${{ POSTRIDER_EGRESS_PROXY: 'proxy:3128' }}                                           | ${'POSTRIDER_EGRESS_PROXY: must look like http://user:password@proxy.internal:3128'}
  ${{ POSTRIDER_HTTPS_ONLY: 'yes' }}                                                    | ${'POSTRIDER_HTTPS_ONLY must be true or false'}
  ${{ POSTRIDER_INTROSPECTION: 'TRUE' }}                                                | ${'POSTRIDER_INTROSPECTION must be true or false'}
  ${{ POSTRIDER_ADMIN_KEY: 'only_31_characters_are_too_few_' }}                         | ${'POSTRIDER_ADMIN_KEY must be 32 to 256'}
  ${{ POSTRIDER_RATE_LIMIT: '0' }}                                                      | ${'POSTRIDER_RATE_LIMIT must be from 1 to 1000000'}
  ${{ POSTRIDER_ALLOW_NETWORKS: '10.0.0.5/8 fd00::1/8' }}                               | ${'POSTRIDER_ALLOW_NETWORKS: "10.0.0.5/8" names an address and a network at once: write 10.0.0.0/8 or 10.0.0.5; "fd00::1/8"'}
  ${{ POSTRIDER_ADMIN_KEY: 'with a space in its middle' }}                              | ${'POSTRIDER_ADMIN_KEY must be 32 to 256 visible ASCII characters, as from `openssl rand -hex 32`'}
  ${{ POSTRIDER_RETENTION_DAYS: '11' }}                                                 | ${'POSTRIDER_RETENTION_DAYS must be from 12 to 3650'}
  ${{ POSTRIDER_BODY_RETENTION_DAYS: 'all' }}                                           | ${'POSTRIDER_BODY_RETENTION_DAYS must be a whole number'}
  ${{ POSTRIDER_BODY_RETENTION_DAYS: '31' }}                                            | ${'POSTRIDER_BODY_RETENTION_DAYS is 31: it must not exceed POSTRIDER_RETENTION_DAYS, 30'}
  ${{ POSTRIDER_RETENTION_DAYS: '14', POSTRIDER_BODY_RETENTION_DAYS: '20', PORT: 'x' }} | ${'POSTRIDER_BODY_RETENTION_DAYS is 20: it must not exceed POSTRIDER_RETENTION_DAYS, 14'}
  ${{ POSTRIDER_RETENTION_DAYS: '14', POSTRIDER_IDEMPOTENCY_HOURS: '337' }}             | ${'POSTRIDER_IDEMPOTENCY_HOURS is 337: it must not exceed POSTRIDER_RETENTION_DAYS, 336 hours'}
`('$environment → $fault', ({ environment, fault }) => {
  expect(faultsOf(environment)).toContainEqual(expect.stringContaining(fault))
})

test.each`
  days         | bodyDays     | retention
  ${undefined} | ${undefined} | ${{ days: 30, bodyDays: 30 }}
  ${'90'}      | ${undefined} | ${{ days: 90, bodyDays: 30 }}
  ${'14'}      | ${undefined} | ${{ days: 14, bodyDays: 14 }}
  ${'90'}      | ${'12'}      | ${{ days: 90, bodyDays: 12 }}
`('rows for $days days and bodies for $bodyDays are $retention', ({ days, bodyDays, retention }) => {
  const environment = { POSTRIDER_RETENTION_DAYS: days, POSTRIDER_BODY_RETENTION_DAYS: bodyDays }
  expect(readConfig(environment).retention).toEqual(retention)
})

test('no secret is repeated', () => {
  const environment = {
    DATABASE_URL: 'postgre://user:canary-1@db/postrider',
    POSTRIDER_ADMIN_KEY: 'canary-2',
    POSTRIDER_MASTER_KEYS: 'canary-3',
    POSTRIDER_EGRESS_PROXY: 'socks5://user:canary-4@proxy.internal:1080',
    PORT: 'x',
  }
  const error = (() => {
    try {
      return readConfig(environment, CHECKS)
    } catch (error) {
      return error as Error & { cause?: unknown }
    }
  })()
  expect(error).toBeInstanceOf(InvalidConfiguration)
  expect(JSON.stringify([String(error), (error as Error).stack, error, Object.values(error)])).not.toContain('canary')
})

test.each`
  name                          | value           | fault
  ${'POSTRIDER_ALOW_HOSTS'}     | ${'localhost'}  | ${'POSTRIDER_ALOW_HOSTS means nothing: POSTRIDER_ALLOW_HOSTS is the nearest that does'}
  ${'POSTRIDER_ALLOW_NETWORK'}  | ${'10.0.0.0/8'} | ${'POSTRIDER_ALLOW_NETWORK means nothing: POSTRIDER_ALLOW_NETWORKS is the nearest that does'}
  ${'POSTRIDER_HTTPSONLY'}      | ${'true'}       | ${'POSTRIDER_HTTPSONLY means nothing: POSTRIDER_HTTPS_ONLY is the nearest that does'}
  ${'POSTRIDER_COLOUR_OF_LOGS'} | ${'red'}        | ${'POSTRIDER_COLOUR_OF_LOGS means nothing'}
  ${'POSTRIDER_PORT'}           | ${'4000'}       | ${'POSTRIDER_PORT means nothing: POSTRIDER_ROLE is the nearest that does'}
`('$name is misspelt: nothing starts', ({ name, value, fault }) => {
  expect(faultsOf({ [name]: value })).toEqual([fault])
})

test('what others call by our name is no fault: our tests, Kubernetes for a service called postrider', () => {
  const others = {
    HOME: 'x',
    POSTRIDER_TEST_POSTGRES_BIN: 'x',
    POSTRIDER_PORT: 'tcp://10.0.0.1:4000',
    POSTRIDER_PORT_4000_TCP: 'tcp://10.0.0.1:4000',
    POSTRIDER_PORT_4000_TCP_ADDR: '10.0.0.1',
    POSTRIDER_SERVICE_HOST: '10.0.0.1',
    POSTRIDER_SERVICE_PORT: '4000',
    POSTRIDER_API_SERVICE_PORT_HTTP: '4000',
  }
  expect(faultsOf(others)).toEqual([])
})

describe('what is written about the configuration', () => {
  const known = [...read('src/config.ts').matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(([, name]) => String(name))
  // `| `NAME` | `default` or – | meaning |`
  const readme = [...read('README.md').matchAll(/^\| `([A-Z_]+)` +\| (\S+) +\| \S/gm)].map(([, name, value]) => ({
    name: String(name),
    fallback: value === '–' ? null : String(value).replaceAll('`', ''),
  }))
  const example = [...read('.env.example').matchAll(/^#([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => ({
    name: String(name),
    value: String(value),
  }))

  test('README, .env.example and the program name the same variables, in the same order', () => {
    expect(known).toContain('POSTRIDER_ROLE')
    expect(readme.map(({ name }) => name)).toEqual(known)
    expect(example.map(({ name }) => name)).toEqual(known)
  })

  test('defaults are what the program takes', () => {
    const defaults = readme.filter(({ fallback }) => fallback !== null)
    expect(defaults.length).toBeGreaterThan(8)
    const environment = Object.fromEntries(defaults.map(({ name, fallback }) => [name, String(fallback)]))
    expect(readConfig(environment)).toEqual(readConfig({}))
    const examples = new Map(example.map(({ name, value }) => [name, value]))
    for (const { name, fallback } of defaults) expect(examples.get(name), name).toBe(fallback)
  })

  test('what is given as an example is accepted', () => {
    const environment = Object.fromEntries(example.map(({ name, value }) => [name, value]))
    expect(faultsOf({ ...environment, POSTRIDER_MASTER_KEYS: 'given' })).toEqual([])
    // The file is read by a shell.
    for (const { name, value } of example) expect(value, name).not.toMatch(/[\s&;]/)
  })
})
