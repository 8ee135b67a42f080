import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'

/** A key that seals secrets; its id is derived from it, so that the same key has the same id wherever it is given. */
export type MasterKey = { id: string; key: Buffer }

/** The master keys cannot be read; the message says which and why, and quotes none. */
export class MasterKeysError extends Error {
  readonly code = 'INVALID_MASTER_KEYS'

  constructor(message: string) {
    super(message)
    this.name = 'MasterKeysError'
  }
}

const KEY_BYTES = 32
const FILE = 'master-keys'

/** Reads keys separated by commas, newest first, each 32 bytes as base64 or hex. Never quotes what it cannot read. */
export function parseMasterKeys(text: string): MasterKey[] {
  const entries = text.split(',').map((entry) => entry.trim())
  const keys = entries.map((entry) => parseKey(entry))
  const faults = keys.flatMap((key, index) => {
    if (key === null) return [`key ${index + 1} of ${keys.length} ${faultOf(entries[index] as string)}`]
    const first = keys.findIndex((other) => other?.equals(key))
    return first < index ? [`key ${index + 1} of ${keys.length} is the same as key ${first + 1}`] : []
  })
  if (faults.length > 0) {
    throw new MasterKeysError(`${faults.join('; ')}. Give 32 random bytes each, as from: openssl rand -base64 32`)
  }
  return keys.filter((key) => key !== null).map((key) => ({ id: idOf(key), key }))
}

/**
 * The keys in `<dataDir>/master-keys`, which is made with a fresh key when there is none and `mayCreate`. A file that is present but
 * unreadable is an error: a new key in its place would make every sealed secret unreadable for good.
 */
export async function loadMasterKeys(dataDir: string, { mayCreate }: { mayCreate: boolean }): Promise<MasterKey[]> {
  const path = join(dataDir, FILE)
  const present = await readIfPresent(path)
  if (present === null && !mayCreate) {
    throw new MasterKeysError(
      `${path} is missing, and the secrets in the database cannot be read without it. Restore it, or give its keys in POSTRIDER_MASTER_KEYS.`,
    )
  }
  const text = present ?? (await create(dataDir, path))
  try {
    // A line that was taken away may leave a comma behind.
    return parseMasterKeys(
      text
        .split(/[\s,]+/)
        .filter(Boolean)
        .join(','),
    )
  } catch (error) {
    if (!(error instanceof MasterKeysError)) throw error
    throw new MasterKeysError(`${path} is damaged: ${error.message}. Restore the file; it is never replaced.`)
  }
}

/** A key for another purpose (HKDF, RFC 5869), that says nothing about the one it comes from. */
export function deriveKey({ key }: MasterKey, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', `postrider ${purpose}`, KEY_BYTES))
}

/** Puts a fresh key in front of those in `<dataDir>/master-keys`, which must be there. At any moment the file is the old or the new one. */
export async function addMasterKey(dataDir: string): Promise<MasterKey[]> {
  const path = join(dataDir, FILE)
  await loadMasterKeys(dataDir, { mayCreate: false })
  const draft = await writeDraft(path, `${freshKey()},\n${await readFile(path, 'utf8')}`)
  await rename(draft, path)
  await syncDirectory(dataDir)
  return loadMasterKeys(dataDir, { mayCreate: false })
}

/** Written whole beside its place and then linked there, which fails if another process was faster: then that one's counts. */
async function create(dataDir: string, path: string): Promise<string> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const draft = await writeDraft(path, `${freshKey()}\n`)
  try {
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  } finally {
    await unlink(draft)
  }
  await syncDirectory(dataDir)
  return readFile(path, 'utf8')
}

const freshKey = () => randomBytes(KEY_BYTES).toString('base64')

/** Safely on the disk, and for the same user as the file whose place it is to take. */
async function writeDraft(path: string, text: string): Promise<string> {
  const draft = `${path}.${process.pid}.${randomBytes(6).toString('hex')}`
  const file = await open(draft, 'wx', 0o600)
  try {
    const before = await stat(path).catch(() => null)
    // Run by root for a server that is another user.
    if (before !== null && before.uid !== process.getuid?.()) await file.chown(before.uid, before.gid)
    await file.writeFile(text)
    await file.sync()
    return draft
  } catch (error) {
    await unlink(draft)
    throw error
  } finally {
    await file.close()
  }
}

/** Without it a power failure could take back the new name, and with it the only key to what was sealed since. */
async function syncDirectory(dataDir: string): Promise<void> {
  const directory = await open(dataDir, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

async function readIfPresent(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
}

function parseKey(entry: string): Buffer | null {
  if (/^[0-9a-f]{64}$/i.test(entry)) return Buffer.from(entry, 'hex')
  return /^[A-Za-z0-9+/]{43}=?$/.test(entry) ? Buffer.from(entry, 'base64') : null
}

function faultOf(entry: string): string {
  if (entry === '') return 'is empty'
  // What is far from either is meant as base64, of whatever characters it is.
  if (/^[0-9a-f]{48,}$/i.test(entry)) return `has ${entry.length} hex digits instead of 64`
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(entry)) return 'is neither base64 nor hex'
  return `has, as base64, ${Buffer.from(entry, 'base64').length} bytes instead of ${KEY_BYTES}`
}

function idOf(key: Buffer): string {
  // Of a hash with a label of its own, so that the id says nothing about the key and is no hash of it used elsewhere.
  return createHash('sha256').update('postrider master key id\0').update(key).digest('hex').slice(0, 16)
}
