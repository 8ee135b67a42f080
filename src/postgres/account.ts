import { chmod, chown, mkdir, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UserNotPermitted } from './embedded-errors.ts'

/** The operating system's user that the server runs as. */
export type Account = {
  uid: number
  gid: number
  /** True: we are root and the server is somebody else, so that what is made for it must be given to it. */
  lent: boolean
}

/** Postgres refuses to run as root, and insists on owning its cluster: who made the cluster is who runs it. */
export async function serverAccount(cluster: string): Promise<Account> {
  const me = { uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1, lent: false }
  const owner = await stat(cluster).catch(() => null)
  if (me.uid !== 0) {
    if (owner !== null && owner.uid !== me.uid)
      throw new UserNotPermitted(
        `${cluster} belongs to user ${owner.uid}, but Postrider runs as user ${me.uid}: run it as the same user, or as root`,
      )
    return me
  }
  if (owner !== null && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid, lent: true }
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '')
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.match(new RegExp(`^${name}:.*`, 'm'))?.[0].split(':') ?? []
    if (Number(uid) > 0) return { uid: Number(uid), gid: Number(gid), lent: true }
  }
  throw new UserNotPermitted(
    'Postgres refuses to run as root, and there is no user "postgres" or "nobody" to run it as: run Postrider as an ordinary user',
  )
}

/** What to add to `spawn`. */
export function spawnAs({ uid, gid, lent }: Account): { uid?: number; gid?: number } {
  return lent ? { uid, gid } : {}
}

export async function give(path: string, { uid, gid, lent }: Account): Promise<void> {
  if (lent) await chown(path, uid, gid)
}

/** Makes a directory, and what is missing above it, that others can pass through whatever our umask says. */
export async function makeOpenDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  for (let place = path; place.startsWith(first); place = dirname(place)) await chmod(place, 0o755)
}

/** The nearest directory at or above `path` that the account cannot pass through, by the mode bits; null: it can. */
export async function barrier(path: string, { uid, gid, lent }: Account): Promise<string | null> {
  if (!lent) return null
  for (let place = path; ; place = dirname(place)) {
    const found = await stat(place).catch(() => null)
    if (found !== null) {
      const passage = found.uid === uid ? 0o100 : found.gid === gid ? 0o010 : 0o001
      if ((found.mode & passage) === 0) return place
    }
    if (place === dirname(place)) return null
  }
}
