import { resolve } from 'node:path'
import { z } from 'zod'

/**
 * What the environment says. The only file that reads `process.env`; every fault is reported at once, by name,
 * before anything starts.
 */
export type Config = {
  host: string
  port: number
  /** Whether there is a port at all: a worker alone has one only where it was given. */
  listens: boolean
  /** An existing Postgres; null: the embedded one. */
  databaseUrl: string | null
  dataDir: string
  role: 'all' | 'api' | 'worker'
  adminKey: string | null
  masterKeys: string | null
  allowNetworks: string
  allowHosts: string
  httpsOnly: boolean
  /** Where everything that leaves goes through; may hold a password. */
  egressProxy: string | null
  allowedOrigins: string[]
  introspection: boolean
  graphiql: boolean
  /** What becomes of events whose type is not in the catalogue. */
  unknownEventTypes: 'accept' | 'refuse'
  maxPayloadBytes: number
  idempotencyHours: number
  /** Operations a second with one key, in one process; null: as many as it likes. */
  rateLimit: number | null
  workerConcurrency: number
  /** How long everything is kept, and how long payloads and response bodies are; whole days, the second no longer. */
  retention: { days: number; bodyDays: number }
  /** When failures become a state of the endpoint. */
  health: { failingAfterSeconds: number; disableAfterSeconds: number; disableAfterAttempts: number }
  /** How long a stop may wait for what is in flight. */
  shutdownSeconds: number
  logLevel: string
}

export class InvalidConfiguration extends Error {
  readonly code = 'INVALID_CONFIGURATION'
  readonly faults: string[]

  constructor(faults: string[]) {
    super(
      `The configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    )
    this.name = 'InvalidConfiguration'
    this.faults = faults
  }
}

const flag = (fallback: boolean) =>
  z
    .enum(['true', 'false'], { error: 'must be true or false' })
    .default(fallback ? 'true' : 'false')
    .transform((text) => text === 'true')

const number = (lowest: number, highest: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, { error: 'must be a whole number' })
    .transform(Number)
    .refine((value) => value >= lowest && value <= highest, { error: `must be from ${lowest} to ${highest}` })

const whole = (fallback: number, lowest: number, highest: number) => number(lowest, highest).default(fallback)

const DEFAULT_PORT = 4000
const DEFAULT_RETENTION_DAYS = 30
// The default schedule takes up to 3.8 days, and a week must be left to see what failed and to send it again.
const FEWEST_RETENTION_DAYS = 12

const variables = z.object({
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: number(0, 65535).optional(),
  DATABASE_URL: z
    .string()
    .refine((text) => /^postgres(ql)?:\/\//.test(text) && URL.canParse(text), {
      // The value may hold a password: it is never repeated.
      error: 'must look like postgres://user:password@host:5432/database',
    })
    .optional(),
  POSTRIDER_DATA_DIR: z.string().min(1).default('.postrider'),
  POSTRIDER_ROLE: z.enum(['all', 'api', 'worker'], { error: 'must be all, api or worker' }).default('all'),
  POSTRIDER_ADMIN_KEY: z
    .string()
    .regex(/^[\x21-\x7e]{32,256}$/, {
      error: 'must be 32 to 256 visible ASCII characters, as from `openssl rand -hex 32`',
    })
    .optional(),
  POSTRIDER_MASTER_KEYS: z.string().min(1).optional(),
  POSTRIDER_ALLOW_NETWORKS: z.string().default(''),
  POSTRIDER_ALLOW_HOSTS: z.string().default(''),
  POSTRIDER_HTTPS_ONLY: flag(false),
  POSTRIDER_EGRESS_PROXY: z.string().optional(),
  POSTRIDER_ALLOWED_ORIGINS: z.string().default(''),
  POSTRIDER_INTROSPECTION: flag(true),
  POSTRIDER_GRAPHIQL: flag(true),
  POSTRIDER_UNKNOWN_EVENT_TYPES: z.enum(['accept', 'refuse'], { error: 'must be accept or refuse' }).default('accept'),
  POSTRIDER_MAX_PAYLOAD_BYTES: whole(262_144, 1024, 1_048_576),
  POSTRIDER_IDEMPOTENCY_HOURS: whole(24, 1, 24 * 30),
  POSTRIDER_RATE_LIMIT: number(1, 1_000_000).optional(),
  POSTRIDER_RETENTION_DAYS: whole(DEFAULT_RETENTION_DAYS, FEWEST_RETENTION_DAYS, 3650),
  POSTRIDER_BODY_RETENTION_DAYS: number(FEWEST_RETENTION_DAYS, 3650).optional(),
  POSTRIDER_WORKER_CONCURRENCY: whole(256, 1, 10_000),
  POSTRIDER_FAILING_AFTER_SECONDS: whole(300, 1, 30 * 86_400),
  POSTRIDER_DISABLE_AFTER_SECONDS: whole(432_000, 1, 365 * 86_400),
  POSTRIDER_DISABLE_AFTER_ATTEMPTS: whole(20, 1, 1_000_000),
  POSTRIDER_SHUTDOWN_SECONDS: whole(35, 1, 3600),
  POSTRIDER_LOG_LEVEL: z
    .enum(['silent', 'error', 'warn', 'info', 'debug'], { error: 'must be silent, error, warn, info or debug' })
    .default('info'),
})

/** What rooms below say of variables that only they can read: called with the value, throws when it cannot be used. */
export type Checks = Partial<Record<keyof typeof variables.shape, (text: string) => unknown>>

/** Whether npm took an option for its own that was meant for a command: `npm run x --new` instead of `npm run x -- --new`. */
export function npmTook(option: string, environment: Record<string, string | undefined> = process.env): boolean {
  return (environment[`npm_config_${option}`] ?? '') !== ''
}

/** Reads the configuration from the environment, or throws `InvalidConfiguration` with every fault it has. */
export function readConfig(environment: Record<string, string | undefined> = process.env, checks: Checks = {}): Config {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  )
  const parsed = variables.safeParse(given)
  const faults = parsed.error?.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`) ?? []
  const origins = (given.POSTRIDER_ALLOWED_ORIGINS ?? '').split(/[\s,]+/).filter(Boolean)
  for (const origin of origins) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
      faults.push(`POSTRIDER_ALLOWED_ORIGINS has "${origin}", which is not an origin like https://app.example.com`)
    }
  }
  faults.push(...faultsOf(checks, given))
  faults.push(...retentionFaults(given))
  faults.push(...unknownNames(given))
  if (given.DATABASE_URL && !given.POSTRIDER_MASTER_KEYS) {
    faults.push(
      'POSTRIDER_MASTER_KEYS is required with DATABASE_URL: 32 random bytes in base64, as from `openssl rand -base64 32`',
    )
  }
  if (!parsed.success || faults.length > 0) throw new InvalidConfiguration(faults)
  return toConfig(parsed.data, origins)
}

function faultsOf(checks: Checks, given: Record<string, string | undefined>): string[] {
  return Object.entries(checks).flatMap(([name, check]) => {
    try {
      if (given[name] !== undefined) check(given[name])
      return []
    } catch (error) {
      return [`${name}: ${(error as Error).message}`]
    }
  })
}

/** What must not last longer than events are kept. What is no number has its own fault. */
function retentionFaults(given: Record<string, string | undefined>): string[] {
  const days = Number(given.POSTRIDER_RETENTION_DAYS ?? DEFAULT_RETENTION_DAYS)
  const bodyDays = Number(given.POSTRIDER_BODY_RETENTION_DAYS ?? 0)
  const hours = Number(given.POSTRIDER_IDEMPOTENCY_HOURS ?? 0)
  const faults = []
  if (bodyDays > days) {
    faults.push(`POSTRIDER_BODY_RETENTION_DAYS is ${bodyDays}: it must not exceed POSTRIDER_RETENTION_DAYS, ${days}`)
  }
  if (hours > days * 24) {
    faults.push(
      `POSTRIDER_IDEMPOTENCY_HOURS is ${hours}: it must not exceed POSTRIDER_RETENTION_DAYS, ${days * 24} hours`,
    )
  }
  return faults
}

function toConfig(env: z.infer<typeof variables>, allowedOrigins: string[]): Config {
  return {
    host: env.HOST,
    port: env.PORT ?? DEFAULT_PORT,
    listens: env.POSTRIDER_ROLE !== 'worker' || env.PORT !== undefined,
    databaseUrl: env.DATABASE_URL ?? null,
    dataDir: resolve(env.POSTRIDER_DATA_DIR),
    role: env.POSTRIDER_ROLE,
    adminKey: env.POSTRIDER_ADMIN_KEY ?? null,
    masterKeys: env.POSTRIDER_MASTER_KEYS ?? null,
    allowNetworks: env.POSTRIDER_ALLOW_NETWORKS,
    allowHosts: env.POSTRIDER_ALLOW_HOSTS,
    httpsOnly: env.POSTRIDER_HTTPS_ONLY,
    egressProxy: env.POSTRIDER_EGRESS_PROXY ?? null,
    allowedOrigins,
    introspection: env.POSTRIDER_INTROSPECTION,
    graphiql: env.POSTRIDER_GRAPHIQL,
    unknownEventTypes: env.POSTRIDER_UNKNOWN_EVENT_TYPES,
    maxPayloadBytes: env.POSTRIDER_MAX_PAYLOAD_BYTES,
    idempotencyHours: env.POSTRIDER_IDEMPOTENCY_HOURS,
    rateLimit: env.POSTRIDER_RATE_LIMIT ?? null,
    retention: {
      days: env.POSTRIDER_RETENTION_DAYS,
      bodyDays: env.POSTRIDER_BODY_RETENTION_DAYS ?? Math.min(DEFAULT_RETENTION_DAYS, env.POSTRIDER_RETENTION_DAYS),
    },
    workerConcurrency: env.POSTRIDER_WORKER_CONCURRENCY,
    health: {
      failingAfterSeconds: env.POSTRIDER_FAILING_AFTER_SECONDS,
      disableAfterSeconds: env.POSTRIDER_DISABLE_AFTER_SECONDS,
      disableAfterAttempts: env.POSTRIDER_DISABLE_AFTER_ATTEMPTS,
    },
    shutdownSeconds: env.POSTRIDER_SHUTDOWN_SECONDS,
    logLevel: env.POSTRIDER_LOG_LEVEL,
  }
}

/** Misspelt, most likely: what was meant to be restricted would be open. */
function unknownNames(given: Record<string, string | undefined>): string[] {
  const known = Object.keys(variables.shape)
  return Object.entries(given)
    .filter(([name, value]) => name.startsWith('POSTRIDER_') && !known.includes(name) && !isOthers(name, String(value)))
    .map(([name]) => {
      const nearest = known.toSorted((one, other) => distance(name, one) - distance(name, other))[0] as string
      return `${name} means nothing${distance(name, nearest) <= MOST_SLIPS ? `: ${nearest} is the nearest that does` : ''}`
    })
}

const MOST_SLIPS = 5

/** What our own tests set, and what Kubernetes tells every container of a service that is called postrider. */
function isOthers(name: string, value: string): boolean {
  if (name.startsWith('POSTRIDER_TEST_')) return true
  if (/_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name)) return true
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value)
}

/** How many letters must be put in, left out or changed to make one of the other (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [at, letter] of [...one].entries()) {
    const above = row
    row = [at + 1]
    for (const [index, each] of [...other].entries()) {
      const changed = (above[index] as number) + (letter === each ? 0 : 1)
      row.push(Math.min(changed, (above[index + 1] as number) + 1, (row[index] as number) + 1))
    }
  }
  return row.at(-1) as number
}
