import { readFileSync } from 'node:fs'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileFault, StartFailed } from './embedded-errors.ts'

/**
 * Runs `work` while no other process does with the same file, which names the process that holds it. That is for order
 * only, where two processes start at the same moment: what must not break is guarded by Postgres (postmaster.pid) and by
 * `rename`, which puts no directory over a full one.
 */
export async function withStartLock<T>(path: string, deadlineMs: number, work: () => Promise<T>): Promise<T> {
  const mine = `${path}.${process.pid}`
  await writeFile(mine, identity(process.pid) ?? '').catch((error) => {
    throw fileFault(error, dirname(path))
  })
  try {
    const deadline = performance.now() + deadlineMs
    // A link, because it appears with its content, or not at all.
    while (!(await tryLink(mine, path))) {
      const holder = await readFile(path, 'utf8').catch(() => null)
      if (holder !== null && !isAlive(holder)) await takeAway(path, holder, `${mine}.stale`)
      else if (performance.now() > deadline)
        throw new StartFailed(
          `Another process (${holder?.split(' ')[0]}) has been starting this database for too long`,
          '',
        )
      else await wait(20)
    }
  } finally {
    await rm(mine, { force: true })
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  return link(from, to).then(
    () => true,
    (error) => {
      if (error.code === 'EEXIST') return false
      throw error
    },
  )
}

/** Moved and looked at again before it is removed: another process may have taken it away and put its own there. */
async function takeAway(path: string, stale: string, aside: string): Promise<void> {
  try {
    await rename(path, aside)
    if ((await readFile(aside, 'utf8')) !== stale) await tryLink(aside, path)
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error
  } finally {
    await rm(aside, { force: true })
  }
}

const isAlive = (holder: string) => identity(Number(holder.split(' ')[0])) === holder

/** A process by number and, where the system tells (Linux), by the time it began, because numbers come again. */
function identity(pid: number): string | null {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as { code?: string }).code === 'ESRCH') return null
  }
  try {
    // The fields after the name, which is in brackets and may hold anything; the start time is number 22 of them all.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[0] === 'Z' ? null : `${pid} ${fields[19]}`
  } catch {
    return `${pid}`
  }
}
