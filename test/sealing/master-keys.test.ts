import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { addMasterKey, loadMasterKeys, MasterKeysError, parseMasterKeys } from '../../src/sealing/master-keys.ts'

const key = randomBytes(32)
const other = randomBytes(32)

const directories: string[] = []
async function directory() {
  const path = await mkdtemp(join(tmpdir(), 'postrider-keys-'))
  directories.push(path)
  return join(path, 'data')
}
afterEach(async () => {
  for (const path of directories.splice(0)) await rm(path, { recursive: true })
})

test('base64 and hex name the same key, in the order given', () => {
  const [one, two] = parseMasterKeys(` ${key.toString('base64')} ,\n${other.toString('hex').toUpperCase()}\n`)
  expect([one?.key, two?.key]).toEqual([key, other])
  expect(parseMasterKeys(key.toString('hex'))).toEqual([one])
  expect(parseMasterKeys(key.toString('base64').replace('=', ''))).toEqual([one])
  expect(one?.id).toMatch(/^[0-9a-f]{16}$/)
  expect(one?.id).not.toBe(two?.id)
})

test.each`
  text                                                   | message
  ${''}                                                  | ${'key 1 of 1 is empty'}
  ${`${key.toString('base64')},`}                        | ${'key 2 of 2 is empty'}
  ${`${key.toString('hex')}, ${key.toString('base64')}`} | ${'key 2 of 2 is the same as key 1'}
  ${key.toString('hex').slice(1)}                        | ${'63 hex digits instead of 64'}
  ${randomBytes(31).fill(0xfb).toString('base64')}       | ${'31 bytes instead of 32'}
  ${randomBytes(33).fill(0xfb).toString('base64')}       | ${'33 bytes instead of 32'}
  ${'abc'}                                               | ${'as base64, 2 bytes instead of 32. Give 32 random bytes'}
  ${'correct horse battery staple'}                      | ${'neither base64 nor hex'}
  ${'correct horse,battery staple'}                      | ${'key 2 of 2 is neither base64 nor hex'}
`('$text is refused: $message', ({ text, message }) => {
  expect(() => parseMasterKeys(text)).toThrow(MasterKeysError)
  expect(() => parseMasterKeys(text)).toThrow(message)
})

test('no error quotes a key', () => {
  const nearly = `${key.toString('base64')}x`
  expect(() => parseMasterKeys(nearly)).toThrow(MasterKeysError)
  for (const part of [nearly, nearly.slice(0, 12)]) expect(() => parseMasterKeys(nearly)).not.toThrow(part)
})

test('a fresh key is made once, readable for its owner only, and found again', async () => {
  const data = await directory()
  const made = await loadMasterKeys(data, { mayCreate: true })

  expect(made).toHaveLength(1)
  expect(await loadMasterKeys(data, { mayCreate: true })).toEqual(made)
  expect((await stat(join(data, 'master-keys'))).mode & 0o777).toBe(0o600)
  expect((await stat(data)).mode & 0o777).toBe(0o700)
  expect(await readdir(data)).toEqual(['master-keys'])
})

test('many at once agree on one key', async () => {
  const data = await directory()
  const made = await Promise.all(Array.from({ length: 20 }, () => loadMasterKeys(data, { mayCreate: true })))
  expect(new Set(made.map(([first]) => first?.id)).size).toBe(1)
  expect(await readdir(data)).toEqual(['master-keys'])
})

test('a new key comes in front of those that are there, and nothing else is left behind', async () => {
  const data = await directory()
  const [first] = await loadMasterKeys(data, { mayCreate: true })
  const [second, ...rest] = await addMasterKey(data)
  expect(rest).toEqual([first])
  expect(await addMasterKey(data)).toEqual([expect.anything(), second, first])
  expect(await loadMasterKeys(data, { mayCreate: false })).toHaveLength(3)
  expect((await stat(join(data, 'master-keys'))).mode & 0o777).toBe(0o600)
  expect(await readdir(data)).toEqual(['master-keys'])
})

test('a key is taken away with its line', async () => {
  const data = await directory()
  const [old] = await loadMasterKeys(data, { mayCreate: true })
  const [fresh] = await addMasterKey(data)
  const [first, second] = (await readFile(join(data, 'master-keys'), 'utf8')).split('\n')
  await writeFile(join(data, 'master-keys'), `${first}\n`)
  expect(await loadMasterKeys(data, { mayCreate: false })).toEqual([fresh])
  await writeFile(join(data, 'master-keys'), `${second}\n`)
  expect(await loadMasterKeys(data, { mayCreate: false })).toEqual([old])
})

test('no new key is put in front of keys that are missing or damaged', async () => {
  const data = await directory()
  await expect(addMasterKey(data)).rejects.toThrow('is missing')
  await loadMasterKeys(data, { mayCreate: true })
  await writeFile(join(data, 'master-keys'), 'garbage')
  await expect(addMasterKey(data)).rejects.toThrow('is damaged')
  expect(await readFile(join(data, 'master-keys'), 'utf8')).toBe('garbage')
})

test.each(['', 'garbage', '\n', Buffer.alloc(32).toString('base64').slice(0, 20)])(
  'a damaged file (%j) is an error that names it, and stays as it is',
  async (content) => {
    const data = await directory()
    await loadMasterKeys(data, { mayCreate: true })
    const path = join(data, 'master-keys')
    await writeFile(path, content)

    await expect(loadMasterKeys(data, { mayCreate: true })).rejects.toThrow(MasterKeysError)
    await expect(loadMasterKeys(data, { mayCreate: true })).rejects.toThrow(path)
    expect(await readFile(path, 'utf8')).toBe(content)
  },
)
