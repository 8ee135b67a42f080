import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { carryOut } from './controller.ts'
import { type Database, startDatabase } from './database.ts'
import type { Claim, History, Receipt } from './history.ts'
import { readJournals } from './journal.ts'
import type { Step } from './plan.ts'
import { createProcesses, type Processes } from './processes.ts'
import { startPublishers } from './publishers.ts'
import { countLeft, readRows } from './rows.ts'
import { ADMIN_KEY, CLAIM_SECONDS, ENDPOINTS, endpointInputs } from './scenario.ts'

export type RunOptions = {
  seed: number
  seconds: number
  steps: readonly Step[]
  mutant: string | null
  verbose: boolean
}

export type Run = {
  history: History
  /** Publishes that came to nothing and were tried again, by what was said. */
  failures: Map<string, number>
  drainSeconds: number
  /** Where journals and logs are; `forget` removes them. */
  directory: string
  forget(): Promise<void>
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const EACH = 2
const PUBLISHERS = 8
// Nothing is slow on purpose any more, but the machine may be: a run that is done does not wait for it. What a mutant has
// lost never comes.
const PATIENCE_MS = { acknowledged: 60_000, drained: 120_000 }
const PATIENCE_WITH_MUTANTS_MS = { ...PATIENCE_MS, acknowledged: 5000 }

/** One run: an installation, faults, a drain, and what is left to judge. */
export async function run(options: RunOptions): Promise<Run> {
  const directory = await mkdtemp(join(tmpdir(), 'postrider-chaos-'))
  const forget = async () => {
    for (const path of [directory, `${directory}-shelter`]) await rm(path, { recursive: true, force: true })
  }
  const database = await startDatabase(directory)
  const { mutant } = options
  const processes = await createProcesses({ directory, databaseUrl: database.url, mutant, each: EACH })
  const beganAt = performance.now()
  const tell = (what: string) => {
    if (options.verbose)
      process.stdout.write(`${((performance.now() - beganAt) / 1000).toFixed(1).padStart(6)} s  ${what}\n`)
  }
  const end = async () => {
    await processes.killAll()
    await database.stop()
  }
  // Nobody else ends a stopped worker, or the server, which lives in a session of its own.
  const abort = () => void end().finally(() => process.exit(130))
  for (const signal of SIGNALS) process.once(signal, abort)
  try {
    await Promise.all(processes.members.map(processes.start))
    if (processes.deaths.length > 0) throw new Error(`A process did not start: ${processes.deaths.join('\n')}`)
    return { ...(await disturb(options, { directory, database, processes, tell })), directory, forget }
  } finally {
    for (const signal of SIGNALS) process.off(signal, abort)
    await end()
  }
}

type World = { directory: string; database: Database; processes: Processes; tell(what: string): void }

async function disturb(
  { seed, seconds, steps, mutant }: RunOptions,
  { directory, database, processes, tell }: World,
): Promise<Omit<Run, 'directory' | 'forget'>> {
  const urls = () => processes.members.flatMap(({ kind, up, url }) => (kind === 'api' && up && url ? [url] : []))
  const behave = () => processes.members.find(({ kind }) => kind === 'receiver')?.child?.send('behave')
  const patience = mutant === null ? PATIENCE_MS : PATIENCE_WITH_MUTANTS_MS
  const names = await createEndpoints(urls()[0] as string, processes.receiverUrl)
  // A mutant has to be caught by the faults that are meant, not by a receiver that answers with failures.
  if (mutant !== null) behave()
  tell('publishing')
  const publishers = startPublishers({ seed, count: PUBLISHERS, urls })
  const [faults] = await Promise.all([carryOut({ processes, database, tell }, steps), wait(seconds * 1000)])
  tell('no more faults')
  await publishers.finish(patience.acknowledged)
  behave()
  const drainSeconds = await drain(database, patience.drained)
  tell(`drained in ${drainSeconds} s`)
  const rows = await readRows(database.sql, names)
  await processes.stopAll()
  const { publishes, failures } = publishers
  const receipts = readJournals<Receipt>(directory, 'receipts')
  const claims = readJournals<Claim>(directory, 'claims')
  const { deaths } = processes
  const endpoints = ENDPOINTS.map(({ name, types, ordered }) => ({ name, types, ordered }))
  const history = { endpoints, publishes, receipts, claims, faults, rows, deaths, claimMs: CLAIM_SECONDS * 1000 }
  return { history, failures, drainSeconds }
}

const CREATE = `mutation ($input: EndpointCreateInput!) {
  endpointCreate(input: $input) { endpoint { id } userErrors { code message } }
}`

/** Returns their names by their public ids. */
async function createEndpoints(url: string, receiverUrl: string): Promise<Map<string, string>> {
  const names = new Map<string, string>()
  for (const [index, input] of endpointInputs(receiverUrl).entries()) {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN_KEY}` },
      body: JSON.stringify({ query: CREATE, variables: { input } }),
    })
    const answer = (await response.json()) as { data?: { endpointCreate: { endpoint: { id: string } | null } } }
    const id = answer.data?.endpointCreate.endpoint?.id
    if (id === undefined) throw new Error(`An endpoint could not be created: ${JSON.stringify(answer)}`)
    names.set(id, ENDPOINTS[index]?.name as string)
  }
  return names
}

/** Waits until nothing waits any more, and says how long that took; at the deadline the laws say what is left. */
async function drain({ sql }: Database, patienceMs: number): Promise<number> {
  const beganAt = performance.now()
  const took = () => Math.round((performance.now() - beganAt) / 1000)
  for (;;) {
    const left = await countLeft(sql)
    if (Object.values(left).every((count) => count === 0)) return took()
    if (performance.now() - beganAt > patienceMs) return took()
    await wait(250)
  }
}
