import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

const COMMAND = new URL('../../src/commands/keys-rotate.ts', import.meta.url).pathname

/** `npm run keys:rotate` with nothing in its environment but this. */
async function run(environment: Record<string, string>, ...options: string[]) {
  const child = spawn(process.execPath, [COMMAND, ...options], { env: { PATH: process.env.PATH, ...environment } })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}

async function emptyPlace() {
  const place = await mkdtemp(join(tmpdir(), 'postrider-keys-'))
  onTestFinished(() => rm(place, { recursive: true, force: true }))
  return place
}

test('where there is no database it asks for the right directory, and makes none', async () => {
  const place = await emptyPlace()
  for (const dataDir of [join(place, 'misspelt'), place]) {
    const { code, output } = await run({ POSTRIDER_DATA_DIR: dataDir }, '--new')
    expect(code).toBe(1)
    expect(output).toMatch(/^There is no database in .*POSTRIDER_DATA_DIR/)
    expect(output).toContain(dataDir)
  }
  expect(existsSync(join(place, 'misspelt'))).toBe(false)
})

test('an option that npm kept to itself is not passed over in silence', async () => {
  const { code, output } = await run({ POSTRIDER_DATA_DIR: await emptyPlace(), npm_config_new: 'true' })
  expect([code, output]).toEqual([1, expect.stringContaining('npm run keys:rotate -- --new')])
})
