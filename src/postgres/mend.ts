import { readFileSync, realpathSync } from 'node:fs'
import { findPackageJSON, registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connectionEdits, type Edit, indexEdits, MARK } from './mend-edits.ts'

type Postgres = typeof import('postgres')

const MENDED_VERSION = '3.4.9'

let loaded: Promise<Postgres> | undefined

/**
 * postgres.js, mended. In version 3.4.9 a session that ends between two small writes kills the process from
 * setImmediate, leaves queries waiting for ever, and lets the rest of a dead transaction run in somebody else's
 * (https://github.com/porsager/postgres, #1066, #1154, #1186, #1195, #1208, #1216, #1223; `mend-edits.ts` has the details).
 *
 * The text of two of its files is changed while Node loads them: node_modules stays as it is, and an install without
 * scripts is enough. So nobody may load the package before: import it from here only.
 */
export function loadPostgres(): Promise<Postgres> {
  loaded ??= load()
  return loaded
}

async function load(): Promise<Postgres> {
  const edits = editsByUrl()
  const hooks = registerHooks({
    load(url, context, nextLoad) {
      const file = nextLoad(url, context)
      const changes = edits.get(url)
      return changes ? { ...file, source: mend(textOf(file.source), changes, url) } : file
    },
  })
  try {
    const postgres = (await import('postgres')).default as unknown as Postgres & { [mark: symbol]: unknown }
    if (postgres[Symbol.for(MARK)] !== true)
      throw new Error(
        'postgres.js was loaded before it could be mended: something imports it ahead of postgres/mend.ts',
      )
    return postgres
  } finally {
    hooks.deregister()
  }
}

function editsByUrl(): Map<string, Edit[]> {
  const manifest = findPackageJSON('postgres', import.meta.url)
  if (manifest === undefined) throw new Error('The package "postgres" is not installed')
  const { version } = JSON.parse(readFileSync(manifest, 'utf8'))
  if (version !== MENDED_VERSION)
    throw new Error(`postgres.js ${version} is installed, but its mend was made for ${MENDED_VERSION}: review both`)
  // Node knows a module by its real path, which differs from this one where node_modules is a symbolic link.
  const source = join(realpathSync(join(manifest, '..')), 'src')
  return new Map([
    [pathToFileURL(join(source, 'connection.js')).href, connectionEdits],
    [pathToFileURL(join(source, 'index.js')).href, indexEdits],
  ])
}

/** Applies every edit, each of which must find its text exactly once. */
export function mend(text: string, edits: Edit[], name: string): string {
  return edits.reduce((current, { find, put }) => {
    const parts = current.split(find)
    if (parts.length !== 2)
      throw new Error(`Cannot mend ${name}: expected once but found ${parts.length - 1} times:\n${find}`)
    return parts.join(put)
  }, text)
}

function textOf(source: unknown): string {
  if (typeof source === 'string') return source
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return new TextDecoder().decode(source)
  throw new Error('Node gave no source text to mend')
}
