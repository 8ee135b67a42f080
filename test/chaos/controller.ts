import { setTimeout as wait } from 'node:timers/promises'
import type { Database } from './database.ts'
import { claimKey, type Fault } from './history.ts'
import type { Step } from './plan.ts'
import { type Kind, launchOf, type Member, type Processes } from './processes.ts'

export type ControllerContext = {
  processes: Processes
  database: Database
  /** Told of everything that is done. */
  tell(what: string): void
}

type Carrying = ControllerContext & { faults: Fault[]; underWay: Set<Promise<void>> }

const PATIENCE_MS = 60_000
const BUSY_CLAIMS = 5
const BUSY_PATIENCE_MS = 3000
// Of the time that was planned: on a machine that is busy with something else, the rest is left out.
const LONGEST = 3

/**
 * Does what is planned, and waits until everybody is up again. A step that has to wait for its process puts off those behind it:
 * where starting takes long, no less happens, and not all of it at once.
 */
export async function carryOut(context: ControllerContext, steps: readonly Step[]): Promise<Fault[]> {
  const carrying: Carrying = { ...context, faults: [], underWay: new Set() }
  const last = steps.at(-1)?.atMs ?? 0
  const deadline = performance.now() + LONGEST * last
  let startedAt = performance.now()
  for (const step of steps) {
    await wait(Math.max(0, startedAt + step.atMs - performance.now()))
    if (performance.now() > deadline) break
    await DOINGS[step.kind](carrying, step)
    startedAt = Math.max(startedAt, performance.now() - step.atMs)
  }
  await allUp(carrying)
  return carrying.faults
}

const DOINGS: Record<Step['kind'], (carrying: Carrying, step: Step) => Promise<void>> = {
  api: killOne('api'),
  worker: killOne('worker'),
  receiver: killOne('receiver'),
  async stop(carrying, step) {
    const { processes, tell } = carrying
    // Somebody must be there to take over.
    const one = await pick(carrying, 'worker', step, 2)
    if (one === null) return
    const { child } = one
    await noteFault(carrying, 'stop', one, () => processes.pause(one))
    tell(`${launchOf(one)} stopped for ${step.forMs} ms`)
    later(carrying, async () => {
      await wait(step.forMs)
      if (child !== null) processes.resume(one, child)
      tell(`${launchOf(one)} goes on`)
    })
  },
  async session({ database, processes, tell }) {
    await database.ready()
    tell(`${await excusing(processes, () => database.endSessions())} sessions terminated`)
  },
  async backend(carrying) {
    const { database, processes, tell } = carrying
    await database.ready()
    const killed = await noteFault(carrying, 'backend', null, () => excusing(processes, () => database.killBackend()))
    tell(killed ? 'a backend killed' : 'no backend to kill')
  },
  async postmaster(carrying, { forMs }) {
    const { database, processes, tell } = carrying
    await database.ready()
    await noteFault(carrying, 'postmaster', null, () => excusing(processes, () => database.killAll(forMs)))
    tell(`Postgres killed, all of it, for ${forMs} ms`)
  },
}

function killOne(kind: Kind) {
  return async (carrying: Carrying, step: Step) => {
    const { processes, tell } = carrying
    const one = await pick(carrying, kind, step)
    if (one === null) return
    // Whoever dies as a receiver leaves requests of all workers without an answer, and as an API none.
    const whose = kind === 'worker' ? one : null
    if (kind === 'api') await processes.kill(one)
    else await noteFault(carrying, kind, whose, () => processes.kill(one))
    tell(`${launchOf(one)} killed for ${step.forMs} ms`)
    later(carrying, async () => {
      await wait(step.forMs)
      await startForSure(carrying, one)
    })
  }
}

/** The one that is meant, or another of its kind, as soon as so many of them are up. */
async function pick({ processes, tell }: Carrying, kind: Kind, { which }: Step, among = 1): Promise<Member | null> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const living = processes.members.filter((one) => one.kind === kind && one.up)
    if (living.length >= among) return living[which % living.length] as Member
    if (performance.now() > deadline) break
    await wait(20)
  }
  tell(`there was no ${kind} to be had`)
  return null
}

/** Causes it, and notes which claims it found. `process`: whose they are, null: everybody's. */
async function noteFault<T>(
  carrying: Carrying,
  kind: string,
  process: Member | null,
  cause: () => T | Promise<T>,
): Promise<T> {
  const { held, readAt } = process === null ? await carrying.database.held() : await heldWhenBusy(carrying, process)
  const caused = await cause()
  carrying.faults.push({ kind, process: process && launchOf(process), held, readAt, at: Date.now() })
  return caused
}

/** A worker that dies, or stops, in the middle of nothing shows nothing: waits for a moment at which it has some claims. */
async function heldWhenBusy({ database, processes }: Carrying, worker: Member) {
  const deadline = performance.now() + BUSY_PATIENCE_MS
  for (;;) {
    const known = await database.held()
    const own = processes.claimsOf(worker).filter((claim) => known.held.has(claimKey(claim)))
    if (own.length >= BUSY_CLAIMS || performance.now() > deadline) return known
    await wait(10)
  }
}

function later({ underWay }: Carrying, work: () => Promise<void>): void {
  const doing: Promise<void> = work().finally(() => underWay.delete(doing))
  underWay.add(doing)
}

/** As a supervisor does: again, when it ended because the database was taken away while it was starting. */
async function startForSure({ processes, database, tell }: Carrying, one: Member): Promise<void> {
  do {
    await database.ready()
    const beganAt = performance.now()
    await processes.start(one)
    tell(`${launchOf(one)} ${one.up ? 'is up' : 'did not start'} after ${Math.round(performance.now() - beganAt)} ms`)
  } while (one.mayNotStart && !one.up)
}

/** A server that finds no database tells so and ends, as it should: that is no finding. One may begin to start meanwhile, too. */
async function excusing<T>({ members }: Processes, fault: () => Promise<T>): Promise<T> {
  const excuse = () => {
    for (const one of members) if (one.starting && one.kind !== 'receiver') one.mayNotStart = true
  }
  excuse()
  const caused = await fault()
  excuse()
  return caused
}

async function allUp({ underWay, database }: Carrying): Promise<void> {
  while (underWay.size > 0) await Promise.all(underWay)
  await database.ready()
}
