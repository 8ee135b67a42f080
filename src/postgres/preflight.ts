import type { Db } from './client.ts'

export type DatabaseFault =
  | 'DATABASE_UNREACHABLE'
  | 'DATABASE_REFUSED_US'
  | 'DATABASE_MISSING'
  | 'DATABASE_TOO_OLD'
  | 'DATABASE_RIGHTS'
  | 'DATABASE_NOT_DURABLE'

/** The database cannot be used; the message says what to do. */
export class UnusableDatabase extends Error {
  readonly code: DatabaseFault

  constructor(code: DatabaseFault, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'UnusableDatabase'
    this.code = code
  }
}

const OLDEST_VERSION = 150_000

/** Asks the server whether we can work with it, before anything is written; throws `UnusableDatabase` where not. */
export async function checkDatabase({ sql }: Db): Promise<void> {
  const [facts] = await sql<Facts[]>`
    select current_setting('server_version_num')::int as version, current_setting('server_version') as "versionName",
      current_setting('fsync') as fsync, current_setting('full_page_writes') as "fullPageWrites",
      current_setting('server_encoding') as encoding, current_user as "user", current_database() as database,
      has_database_privilege(current_database(), 'CREATE')
        or (to_regnamespace('postrider') is not null and to_regnamespace('postrider_queue') is not null) as "mayCreate",
      pg_is_in_recovery() as "inRecovery"`.catch((error: unknown) => {
    throw explainFault(error)
  })
  const fault = judge(facts as Facts)
  if (fault) throw new UnusableDatabase(...fault)
}

type Facts = {
  version: number
  versionName: string
  fsync: string
  fullPageWrites: string
  encoding: string
  user: string
  database: string
  mayCreate: boolean
  inRecovery: boolean
}

function judge(facts: Facts): [DatabaseFault, string] | null {
  if (facts.version < OLDEST_VERSION) {
    return ['DATABASE_TOO_OLD', `This server is PostgreSQL ${facts.versionName}; Postrider needs version 15 or newer.`]
  }
  if (facts.inRecovery)
    return ['DATABASE_RIGHTS', 'This server is a standby and only read from: DATABASE_URL must point to the primary.']
  if (facts.encoding !== 'UTF8') {
    return [
      'DATABASE_RIGHTS',
      `The database "${facts.database}" is encoded in ${facts.encoding}; Postrider needs UTF8. Create one with: create database postrider encoding 'UTF8' template template0`,
    ]
  }
  if (!facts.mayCreate) {
    const grant = `grant create on database "${facts.database}" to "${facts.user}"`
    return [
      'DATABASE_RIGHTS',
      `The role "${facts.user}" may not create schemas in the database "${facts.database}". As its owner run: ${grant}`,
    ]
  }
  const off = [facts.fsync === 'on' ? [] : 'fsync', facts.fullPageWrites === 'on' ? [] : 'full_page_writes'].flat()
  if (off.length > 0) {
    return [
      'DATABASE_NOT_DURABLE',
      `This server runs with ${off.map((setting) => `${setting}=off`).join(' and ')}: acknowledged events could be lost in a crash. Turn ${off.length === 1 ? 'it' : 'both'} on.`,
    ]
  }
  return null
}

const AT = 'Check host and port in DATABASE_URL, and that the server is running.'
const EXPLANATIONS: Record<string, [DatabaseFault, string]> = {
  ECONNREFUSED: ['DATABASE_UNREACHABLE', `Nothing listens where DATABASE_URL points. ${AT}`],
  ENOENT: ['DATABASE_UNREACHABLE', `There is no such Unix socket. ${AT}`],
  ENOTFOUND: ['DATABASE_UNREACHABLE', `The host name in DATABASE_URL is unknown. ${AT}`],
  EAI_AGAIN: ['DATABASE_UNREACHABLE', `The host name in DATABASE_URL could not be looked up. ${AT}`],
  EHOSTUNREACH: ['DATABASE_UNREACHABLE', `The host in DATABASE_URL cannot be reached. ${AT}`],
  ETIMEDOUT: ['DATABASE_UNREACHABLE', `The host in DATABASE_URL does not answer. ${AT}`],
  CONNECT_TIMEOUT: ['DATABASE_UNREACHABLE', `The host in DATABASE_URL does not answer. ${AT}`],
  CONNECTION_CLOSED: [
    'DATABASE_UNREACHABLE',
    `What listens where DATABASE_URL points ended the conversation: it may not be PostgreSQL. ${AT}`,
  ],
  '28P01': ['DATABASE_REFUSED_US', 'The server refused the password. Check user and password in DATABASE_URL.'],
  '28000': [
    'DATABASE_REFUSED_US',
    "The server does not let this user in from here. Check the user in DATABASE_URL and the server's pg_hba.conf.",
  ],
  '3D000': [
    'DATABASE_MISSING',
    'The server has no database of that name. Create it, or check the name in DATABASE_URL.',
  ],
  '53300': ['DATABASE_UNREACHABLE', 'The server has no connections left. Raise max_connections, or close others.'],
  '57P03': ['DATABASE_UNREACHABLE', 'The server is starting up or shutting down. Try again in a moment.'],
}

/** A failure to reach the server, in plain words where they are known. */
export function explainFault(error: unknown): unknown {
  const explanation = EXPLANATIONS[String((error as { code?: unknown }).code)]
  return explanation ? new UnusableDatabase(...explanation, error) : error
}
