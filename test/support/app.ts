import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from 'graphql-ws'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { silentLog } from '../../src/log.ts'
import { type Address, openPool } from '../../src/postgres/client.ts'
import { createSearch, everyTable } from './canary.ts'
import { createDatabase } from './database.ts'
import { databaseUrl } from './database-url.ts'

export { databaseUrl } from './database-url.ts'

const ADMIN_KEY = 'prk_an_admin_key_for_the_tests_only'
const MAIN = new URL('../../src/main.ts', import.meta.url).pathname

export type Variables = Record<string, unknown>
type Answer<T> = { data: T; errors?: { message: string; extensions?: Variables }[] }

/** What a test says to the API: a document, its variables, the data that comes back. */
export type Api = {
  url: string
  key: string
  ask<T = Variables>(document: string, variables?: Variables): Promise<T>
  /** Follows a subscription over a WebSocket of its own; `stop` leaves it. */
  follow<T>(document: string, variables?: Variables): { items: T[]; stop(): Promise<void>; failed(): unknown }
}

export type Process = {
  /** Speaks to it with a key, that of `settingsFor` unless told otherwise. */
  api(key?: string): Api
  /** Ends it without a word, like kill -9. Resolves when it is gone. */
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
  /** What it has printed so far. */
  output(): string
}

export type Server = Pick<Process, 'kill' | 'stop' | 'output'> & {
  api: Api
  /** Starts it again on the same database. */
  restart(): Promise<void>
}

/** The real server in a process of its own, on a fresh database. Gone when the test has finished. */
export async function startServer(environment: Record<string, string> = {}): Promise<Server> {
  const address = await createDatabase()
  const env: Record<string, string> = { ...(await settingsFor(address)), ...environment }
  let current = await launch(env)
  onTestFinished(() => findNoSecrets(address, current.output()))
  const url = () => current.api(ADMIN_KEY).url
  return {
    api: createApi(url, ADMIN_KEY),
    kill: () => current.kill(),
    async restart() {
      current = await launch(env)
    },
    stop: () => current.stop(),
    output: () => current.output(),
  }
}

const told = new Set([ADMIN_KEY])

/** Whatever a story did: no secret that it made stands in the clear in its database, nor in what the server printed. */
async function findNoSecrets(address: Address, text: string): Promise<void> {
  const db = await openPool(address, { max: 1, name: 'canary', log: silentLog })
  const tables = await everyTable(db).finally(() => db.close())
  const search = createSearch([...told].map((value, index) => ({ name: `secret ${index}`, value })))
  const leaks = search.inTraces([...tables, { place: 'what the server printed', text }])
  if (leaks.length > 0) throw new Error(`Secrets have leaked: ${JSON.stringify(leaks)}`)
}

/** What a process needs beside its database; several on one database share it. */
export async function settingsFor(address: Exclude<Address, string>): Promise<Record<string, string>> {
  return {
    DATABASE_URL: databaseUrl(address),
    POSTRIDER_DATA_DIR: await temporaryDirectory(),
    POSTRIDER_MASTER_KEYS: Buffer.alloc(32, 9).toString('base64'),
    POSTRIDER_ADMIN_KEY: ADMIN_KEY,
    POSTRIDER_ALLOW_NETWORKS: '127.0.0.0/8',
  }
}

/** Starts src/main.ts; resolves when it says that it runs, rejects with what it said when it ends before that. */
export function launch(
  environment: Record<string, string>,
  spawned: (child: ChildProcess) => void = () => {},
): Promise<Process> {
  const env = { ...process.env, HOST: '127.0.0.1', PORT: '0', POSTRIDER_LOG_LEVEL: 'warn', ...environment }
  const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => end(child, 'SIGKILL').then(() => {}))
  spawned(child)
  let output = ''
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the server did not start within 60 s:\n${output}`)), 60_000)
    const read = (chunk: Buffer) => {
      output += chunk
      const url = /(http:\/\/[\d.]+:\d+)\/graphql/.exec(output)?.[1]
      if (!url && !output.includes('Postrider is delivering')) return
      clearTimeout(timer)
      resolve({
        // A worker alone has none.
        api: (key = ADMIN_KEY) => createApi(() => url as string, key),
        kill: () => end(child, 'SIGKILL').then(() => {}),
        stop: () => end(child, 'SIGTERM'),
        output: () => output,
      })
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.once('close', (code) => {
      clearTimeout(timer)
      reject(new Error(`the server ended with ${code}:\n${output}`))
    })
  })
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolve) => {
    child.once('exit', resolve)
    child.kill(signal)
  })
}

/** A directory that is gone when the test has finished. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'postrider-story-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export function createApi(url: () => string, key: string): Api {
  return {
    get url() {
      return url()
    },
    key,
    async ask<T>(query: string, variables: Variables = {}) {
      const response = await fetch(`${url()}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
        body: JSON.stringify({ query, variables }),
      })
      const { data, errors } = (await response.json()) as Answer<T>
      if (errors) throw new Error(errors.map(({ message }) => message).join('; '))
      return data
    },
    follow<T>(query: string, variables: Variables = {}) {
      const client = createClient({
        url: `${url().replace('http', 'ws')}/graphql`,
        webSocketImpl: WebSocket,
        connectionParams: { authorization: `Bearer ${key}` },
        retryAttempts: 0,
      })
      const items: T[] = []
      let failure: unknown = null
      client.subscribe<T>(
        { query, variables },
        {
          next: ({ data, errors }) => {
            if (errors) failure = errors
            else items.push(data as T)
          },
          error: (error) => {
            failure = error
          },
          complete() {},
        },
      )
      const stop = async () => client.dispose()
      onTestFinished(stop)
      return { items, stop, failed: () => failure }
    },
  }
}

/** Creates an endpoint and returns its id and secret. */
export async function createEndpoint(api: Api, input: Variables): Promise<{ id: string; secret: string }> {
  const { endpointCreate } = await api.ask<{
    endpointCreate: { endpoint: { id: string }; secret: string; userErrors: unknown[] }
  }>(
    `mutation ($input: EndpointCreateInput!) { endpointCreate(input: $input) { endpoint { id } secret userErrors { code message path } } }`,
    { input },
  )
  if (!endpointCreate.endpoint) throw new Error(JSON.stringify(endpointCreate.userErrors))
  told.add(endpointCreate.secret)
  return { id: endpointCreate.endpoint.id, secret: endpointCreate.secret }
}

/** Publishes an event and returns its id. */
export async function publish(api: Api, input: Variables): Promise<string> {
  const { eventPublish } = await api.ask<{ eventPublish: { event: { id: string } | null; userErrors: unknown[] } }>(
    `mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { id } userErrors { code message path } } }`,
    { input },
  )
  if (!eventPublish.event) throw new Error(JSON.stringify(eventPublish.userErrors))
  return eventPublish.event.id
}
