import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { EndpointId } from '../../schema/ids.ts'
import { silentLog } from '../../src/log.ts'
import { AT_THE_DEADLINE } from '../egress/misbehaviours.ts'
import type { Open, Served, Started } from '../egress/misbehaviours-worker.ts'
import { receiverOf } from '../egress/world.ts'
import { type Attempt, type Engine, startEngine } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { latencies, percentile95 } from '../support/latency.ts'

const ROUNDS = 5
const NEIGHBOURS = 20
const MARGIN_MS = 700
// Each round begins with all of them in the same moment: 200 ms of work for the two cores that the receivers run on as well.
const BURST_MS = 200
// Of a round's 150 attempts, nothing is kept: it varies by 1.5 MiB. Keeping just their exchanges would cost 5.6 MiB a round.
const MOST_GROWTH_BYTES = 4 * 1024 * 1024

test('whatever receivers do is in the record as what it was, and nobody else notices', async () => {
  const misbehaving = await startMisbehaving()
  const log = { ...silentLog, error: vi.fn() }
  const faults = unexpectedFaults()
  const engine = await startEngine({
    log,
    egress: { resolve: async () => ['127.0.0.1'], tls: { ca: misbehaving.authority } },
  })
  const healthy = await receiverOf()
  await engine.addEndpoint(healthy.url, { eventTypes: ['order.placed'] })
  const served = await addAll(engine, misbehaving.served)
  const round = async (number: number) => {
    await engine.publish(1, 'report.ready')
    const took = await latencies(engine, healthy, NEIGHBOURS)
    await eventually(async () => expect(await attemptsMade(engine)).toBe(number * served.size), 15_000)
    return { took, memory: usedMemory() }
  }
  // The first of everything is slow, and stays in memory.
  const { memory: base } = await round(1)
  const alone = percentile95(await latencies(engine, healthy, NEIGHBOURS))

  const rounds = []
  for (let number = 2; number <= ROUNDS; number++) rounds.push(await round(number))

  const attempts = (await engine.attempts()).filter(({ endpointId }) => served.has(endpointId))
  for (const attempt of attempts) expectHonest(attempt, served.get(attempt.endpointId) as Served)
  expect(faults).toEqual([])
  expect(log.error.mock.calls).toEqual([])
  const p95 = percentile95(rounds.flatMap(({ took }) => took))
  expect(p95, `${p95} ms beside them, ${alone} ms alone`).toBeLessThanOrEqual(3 * alone + BURST_MS)
  const memory = rounds.map((each) => each.memory - base)
  // Some of it can only be collected when idle sockets have been closed.
  await eventually(() => expect(usedMemory() - base, `growth by round: ${memory}`).toBeLessThan(MOST_GROWTH_BYTES))
  await engine.stop()
  await eventually(async () => expect(await misbehaving.openConnections()).toEqual([]))
}, 60_000)

/** The class or status that was to come, within the deadline, and told in words that may be shown. */
function expectHonest(attempt: Attempt, { name, comes, withinMs }: Served) {
  const { succeeded, status, errorClass, errorMessage, durationMs } = attempt
  const came = succeeded ? 'delivered' : errorClass === 'HTTP_STATUS' ? status : errorClass
  expect(`${name}: ${came}`).toBe(`${name}: ${comes}`)
  const deadlineMs = withinMs === AT_THE_DEADLINE ? 1000 : 2000
  expect(durationMs, name).toBeLessThan(deadlineMs + MARGIN_MS)
  if (withinMs === AT_THE_DEADLINE) expect(durationMs, name).toBeGreaterThanOrEqual(deadlineMs - 1)
  if (!succeeded) expect(errorMessage, name).toMatch(/^[\x20-\x7e]{10,500}$/)
}

async function startMisbehaving() {
  const worker = new Worker(new URL('../egress/misbehaviours-worker.ts', import.meta.url))
  onTestFinished(async () => {
    await worker.terminate()
  })
  const [started] = (await once(worker, 'message')) as [Started]
  return {
    ...started,
    async openConnections() {
      worker.postMessage('which are open?')
      const [{ open }] = (await once(worker, 'message')) as [Open]
      return open
    },
  }
}

/** An endpoint for each, with the shortest deadline where only the deadline ends it. */
async function addAll(engine: Engine, all: Served[]): Promise<Map<EndpointId, Served>> {
  const added = all.map(async (each) => {
    const settings = {
      eventTypes: ['report.ready'],
      timeoutSeconds: each.withinMs === AT_THE_DEADLINE ? 1 : 2,
      retryPolicy: { delaysSeconds: [] },
    }
    return [await engine.addEndpoint(each.url, settings), each] as const
  })
  return new Map(await Promise.all(added))
}

async function attemptsMade({ db }: Engine): Promise<number> {
  const [row] = await db.sql<[{ count: number }]>`
    select count(*)::int from postrider.attempts where event_type = 'report.ready'`
  return row.count
}

function unexpectedFaults(): unknown[] {
  const faults: unknown[] = []
  const note = (fault: unknown) => faults.push(fault)
  process.on('uncaughtException', note).on('unhandledRejection', note)
  onTestFinished(() => {
    process.off('uncaughtException', note).off('unhandledRejection', note)
  })
  return faults
}

/** What is in use after everything that can be collected is. */
function usedMemory(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
