import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Claim } from './history.ts'
import { readJournal } from './journal.ts'
import { ADMIN_KEY, MASTER_KEYS } from './scenario.ts'

export type Kind = 'api' | 'worker' | 'receiver'

/** One place in the installation: the process that stands there now, after how many before it. */
export type Member = {
  kind: Kind
  name: string
  launches: number
  child: ChildProcess | null
  /** Ready, and not stopped or killed. */
  up: boolean
  starting: boolean
  /** The database was taken away while it was starting. */
  mayNotStart: boolean
  /** Where an API listens now. */
  url: string | null
}

export type Processes = {
  members: Member[]
  /** Of those that ended without having been killed: their last words. */
  deaths: string[]
  receiverUrl: string
  start(member: Member): Promise<void>
  /** The claims that the process that stands there now has taken so far. */
  claimsOf(member: Member): Claim[]
  kill(member: Member): Promise<void>
  pause(member: Member): void
  /** SIGCONT, if it is still the same process. */
  resume(member: Member, child: ChildProcess): void
  /** SIGTERM to everybody, who should end with 0. */
  stopAll(): Promise<void>
  /** -9 to everybody, stopped or not. */
  killAll(): Promise<void>
}

/** The name of the process that stands there now, as its journals have it. */
export const launchOf = ({ name, launches }: Member) => `${name}.${launches}`

const FILES = { api: 'server.ts', worker: 'server.ts', receiver: 'receiver.ts' }
const CONFINED = new URL('../support/confined-process.ts', import.meta.url)
const MUTATE = new URL('mutate.ts', import.meta.url)
// Two seconds of work, for which a machine that is busy with something else took one minute.
const START_DEADLINE_MS = 180_000
const LAST_WORDS = 12

export type ProcessesOptions = { directory: string; databaseUrl: string; mutant: string | null; each: number }

export async function createProcesses(options: ProcessesOptions): Promise<Processes> {
  const port = await freePort()
  const members = [
    ...Array.from({ length: options.each }, (_, n) => member('api', `api ${n + 1}`)),
    ...Array.from({ length: options.each }, (_, n) => member('worker', `worker ${n + 1}`)),
    member('receiver', 'receiver'),
  ]
  const deaths: string[] = []
  const expected = new WeakSet<ChildProcess>()

  return {
    members,
    deaths,
    receiverUrl: `http://127.0.0.1:${port}`,
    async start(one) {
      Object.assign(one, { launches: one.launches + 1, starting: true, mayNotStart: false })
      const { child, log } = launch(one, port, options)
      one.child = child
      child.once('exit', (code, signal) => {
        one.up = false
        if (expected.has(child) || (one.starting && one.mayNotStart && code === 1)) return
        deaths.push(`${launchOf(one)} ended with ${code ?? signal}:\n    ${lastWords(log)}`)
      })
      one.url = await readiness(child)
      one.starting = false
      one.up = !hasEnded(child)
    },
    claimsOf: (one) => readJournal(`${baseOf(one, options.directory)}.claims.jsonl`),
    async kill(one) {
      one.up = false
      if (one.child !== null) expected.add(one.child)
      await end(one.child, 'SIGKILL')
    },
    pause(one) {
      one.up = false
      one.child?.kill('SIGSTOP')
    },
    resume(one, child) {
      if (one.child !== child || hasEnded(child)) return
      child.kill('SIGCONT')
      one.up = true
    },
    async stopAll() {
      const servers = members.filter(({ kind }) => kind !== 'receiver')
      for (const { child } of servers) if (child !== null) expected.add(child)
      await Promise.all(servers.map(({ child }) => end(child, 'SIGTERM')))
      const unclean = servers.filter(({ child }) => child?.exitCode !== 0)
      deaths.push(...unclean.map((one) => `${launchOf(one)} ended with ${one.child?.exitCode} on SIGTERM`))
    },
    async killAll() {
      for (const { child } of members) if (child !== null) expected.add(child)
      await Promise.all(members.map(({ child }) => end(child, 'SIGKILL')))
    },
  }
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null

async function end(child: ChildProcess | null, signal: NodeJS.Signals): Promise<void> {
  if (child === null || hasEnded(child)) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

function lastWords(log: string): string {
  return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-LAST_WORDS).join('\n    ')
}

function member(kind: Kind, name: string): Member {
  return { kind, name, launches: 0, child: null, up: false, starting: false, mayNotStart: false, url: null }
}

const baseOf = (one: Member, directory: string) => join(directory, launchOf(one).replace(' ', '-'))

function launch(one: Member, port: number, { directory, databaseUrl, mutant }: ProcessesOptions) {
  const base = baseOf(one, directory)
  const log = `${base}.log`
  const output = openSync(log, 'a')
  const server = one.kind !== 'receiver'
  const preloads = [CONFINED, ...(server && mutant !== null ? [MUTATE] : [])]
  const child = fork(
    new URL(FILES[one.kind], import.meta.url),
    server ? [launchOf(one), `${base}.claims.jsonl`] : [String(port), `${base}.receipts.jsonl`],
    {
      execArgv: preloads.map((url) => `--import=${url}`),
      stdio: ['ignore', output, output, 'ipc'],
      env: {
        ...process.env,
        PORT: one.kind === 'worker' ? '' : '0',
        // Four starts a minute on a busy machine are most of what a run costs.
        NODE_COMPILE_CACHE: join(directory, 'compile-cache'),
        DATABASE_URL: databaseUrl,
        POSTRIDER_ROLE: one.kind,
        POSTRIDER_DATA_DIR: directory,
        POSTRIDER_MASTER_KEYS: MASTER_KEYS,
        POSTRIDER_ADMIN_KEY: ADMIN_KEY,
        POSTRIDER_ALLOW_NETWORKS: '127.0.0.0/8',
        POSTRIDER_LOG_LEVEL: 'warn',
        ...(mutant === null ? {} : { POSTRIDER_TEST_MUTANT: mutant }),
      },
    },
  )
  return { child, log }
}

/** Resolves with what it has to say when it is ready; also when it ends before that, which is noted elsewhere. */
function readiness(child: ChildProcess): Promise<string | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), START_DEADLINE_MS)
    const done = (url: string | null) => {
      clearTimeout(timer)
      resolve(url)
    }
    child.once('message', (message: { url?: string | null }) => done(message.url ?? null))
    child.once('exit', () => done(null))
  })
}

/** Below the ports that outgoing connections get: while the receiver is down, nobody may take its place. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}
