import { expect, test, vi } from 'vitest'
import { createNameServers, type NameServersOptions } from '../../src/egress/name-servers.ts'
import { createResolver, createSystemAsk, type ResolverOptions } from '../../src/egress/resolver.ts'
import { eventually } from '../support/eventually.ts'
import { type NameServer, type Reply, startNameServer } from '../support/name-server.ts'

const silent = () => startNameServer(() => ({ silent: true }))
const replying = (replies: Record<string, Reply>) => startNameServer((name) => replies[name] ?? { error: 'NXDOMAIN' })

function resolverAt(
  servers: NameServer[],
  { tryMs = 150, tries, now, ...more }: Pick<NameServersOptions, 'tryMs' | 'tries'> & ResolverOptions = {},
) {
  const clock = now === undefined ? {} : { now }
  const options = { tryMs, servers: () => servers.map(({ address }) => address), ...(tries ? { tries } : {}), ...clock }
  return createResolver({ askNameServers: createNameServers(options), ...clock, ...more })
}

const addressOf = (octet: number) => `93.184.215.${octet}`

async function timed<T>(work: Promise<T>): Promise<{ ms: number; result?: T; error?: Error }> {
  const startedAt = performance.now()
  const outcome = await work.then(
    (result) => ({ result }),
    (error: Error) => ({ error }),
  )
  return { ms: performance.now() - startedAt, ...outcome }
}

test.each<[string, Reply, string[]]>([
  ['IPv4 alone', { addresses: ['93.184.215.1', '93.184.215.2'] }, ['93.184.215.1', '93.184.215.2']],
  ['IPv6 alone', { addresses: ['2606:4700::1'] }, ['2606:4700::1']],
  ['both, IPv4 first', { addresses: ['2606:4700::1', '93.184.215.1'] }, ['93.184.215.1', '2606:4700::1']],
  ['another name', { alias: 'cdn.test', addresses: ['93.184.215.1'] }, ['93.184.215.1']],
  ['a truncated answer, by TCP', { addresses: ['93.184.215.1'], truncated: true }, ['93.184.215.1']],
  ['an answer after a while', { addresses: ['93.184.215.1'], delayMs: 100 }, ['93.184.215.1']],
])('a name with %s', async (_, reply, expected) => {
  expect(await resolverAt([await replying({ 'hooks.test': reply })])('hooks.test')).toEqual(expected)
})

test('a dot at the end, and capitals, change nothing', async () => {
  const server = await replying({ 'hooks.test': { addresses: ['93.184.215.1'] } })
  const resolve = resolverAt([server])
  expect([await resolve('hooks.test.'), await resolve('HOOKS.test')]).toEqual([['93.184.215.1'], ['93.184.215.1']])
  expect(server.asked).toEqual(['hooks.test A', 'hooks.test AAAA'])
})

test.each<[string, Reply, string]>([
  ['is unknown', { error: 'NXDOMAIN' }, 'There is no host of the name hooks.test'],
  ['has no address', {}, 'has no address'],
  ['nobody answers for', { silent: true }, 'did not tell the address of hooks.test'],
  ['cannot be looked up by the server', { error: 'SERVFAIL' }, 'did not tell the address of hooks.test'],
  ['is refused by the server', { error: 'REFUSED' }, 'did not tell the address of hooks.test'],
  ['is not understood by the server', { error: 'FORMERR' }, 'did not tell the address of hooks.test'],
])('a name that %s fails with the class DNS and says so', async (_, reply, message) => {
  await expect(resolverAt([await replying({ 'hooks.test': reply })])('hooks.test')).rejects.toMatchObject({
    code: 'DNS',
    message: expect.stringContaining(message),
  })
})

test.each(['localhost', 'a.onion', 'a..b', `${'a'.repeat(64)}.test`])(
  '%s is a name like any other, and unknown',
  async (name) => {
    await expect(resolverAt([await replying({})])(name)).rejects.toMatchObject({ code: 'DNS' })
  },
)

test('all tries end in time, by UDP and by TCP, and tell that nobody answered', async () => {
  const [udp, tcp] = [await silent(), await startNameServer(() => ({ truncated: true, delayMs: 250 }))]
  const several = [udp, await silent(), await silent(), await silent()]
  for (const [servers, atLeastMs] of [
    [[udp], 590],
    [[tcp], 590],
    [several.slice(0, 2), 370],
    [several, 440],
  ] as const) {
    const { ms, error } = await timed(resolverAt([...servers], { tryMs: 300 })('hooks.test'))
    expect(error?.message).toContain('did not tell')
    expect(ms).toBeGreaterThan(atLeastMs)
    expect(ms).toBeLessThan(1100)
  }
  expect(several.at(-1)?.asked).toEqual([])
})

test('a name that is slow is waited for, however quick those before it were', async () => {
  // c-ares would give it 250 ms and twice as much again, were its channel kept.
  const server = await startNameServer((name) => ({
    addresses: ['93.184.215.1'],
    delayMs: name === 'slow.test' ? 1500 : 0,
  }))
  const resolve = resolverAt([server], { tryMs: 2000 })
  for (let i = 0; i < 20; i++) await resolve(`quick${i}.test`)

  expect((await timed(resolve('slow.test'))).result).toEqual(['93.184.215.1'])
})

test.each<[string, 4 | 6, string[]]>([
  ['IPv6', 6, ['93.184.215.1']],
  ['IPv4', 4, ['2606:4700::1']],
])('where %s hangs, the other family waits a moment, and only once', async (_, hanging, expected) => {
  const server = await startNameServer((_name, family) => ({
    addresses: ['93.184.215.1', '2606:4700::1'],
    silent: family === hanging,
  }))
  const resolve = resolverAt([server], { tryMs: 1000, graceMs: 200 })

  const first = await timed(resolve('hooks.test'))
  const second = await timed(resolve('hooks.test'))

  expect([first.result, second.result]).toEqual([expected, expected])
  expect(first.ms).toBeGreaterThan(180)
  expect(first.ms).toBeLessThan(500)
  expect(second.ms).toBeLessThan(20)
})

test('what comes late is there for the next', async () => {
  const server = await startNameServer((_name, family) => ({
    addresses: ['93.184.215.1', '2606:4700::1'],
    delayMs: family === 4 ? 0 : 120,
  }))
  const resolve = resolverAt([server], { tryMs: 1000, graceMs: 20 })
  expect(await resolve('hooks.test')).toEqual(['93.184.215.1'])
  await eventually(async () => expect(await resolve('hooks.test')).toEqual(['93.184.215.1', '2606:4700::1']))
})

test('an error of one family does not hide the addresses of the other', async () => {
  const server = await startNameServer((_name, family) =>
    family === 4 ? { addresses: ['93.184.215.1'] } : { error: 'SERVFAIL' },
  )
  expect(await resolverAt([server])('hooks.test')).toEqual(['93.184.215.1'])
})

test('a second server is asked when the first is silent, and asked first from then on', async () => {
  const dead = await silent()
  const alive = await startNameServer(() => ({ addresses: ['93.184.215.1'] }))
  const resolve = resolverAt([dead, alive], { tryMs: 400 })

  const first = await timed(resolve('one.test'))
  // A quarter of its time is what others wait for it; all of it, until it counts as dead.
  await new Promise((done) => setTimeout(done, 400))
  const second = await timed(resolve('two.test'))

  expect([first.result, second.result]).toEqual([['93.184.215.1'], ['93.184.215.1']])
  expect(first.ms).toBeGreaterThan(95)
  expect(second.ms).toBeLessThan(95)
  expect(dead.asked).toHaveLength(2)
})

test('two dead servers before a living one: no look-up fails, neither at first nor when they are tried again', async () => {
  let forward = 0
  const [one, two] = [await silent(), await silent()]
  const alive = await startNameServer(() => ({ addresses: ['93.184.215.1'], ttl: 0 }))
  const resolve = resolverAt([one, two, alive], { tryMs: 400, now: () => performance.now() + forward })
  let names = 0
  /** Longer than it takes to learn that a server is silent. */
  const spread = () =>
    Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        await new Promise((done) => setTimeout(done, index * 20))
        return timed(resolve(`n${names++}.test`))
      }),
    )
  const failed = (lookUps: { error?: Error }[]) => lookUps.filter(({ error }) => error !== undefined).length
  const slow = (lookUps: { ms: number }[]) => lookUps.filter(({ ms }) => ms > 95).length

  const cold = await spread()
  const askedCold = one.asked.length + two.asked.length
  forward = 30_500 + 400
  const again = await spread()

  expect([failed(cold), failed(again)]).toEqual([0, 0])
  // One question of the first look-up went to each of them, and the others knew nothing of it.
  expect(one.asked.length + two.asked.length - askedCold).toBe(2)
  expect(slow(again)).toBeLessThanOrEqual(2)
}, 10_000)

test('a server that is back is used again once one look-up has found it', async () => {
  let forward = 0
  let dead = true
  const first = await startNameServer(() => ({ addresses: ['93.184.215.1'], ttl: 0, silent: dead }))
  const second = await startNameServer(() => ({ addresses: ['93.184.215.2'], ttl: 0 }))
  const resolve = resolverAt([first, second], { tryMs: 200, now: () => performance.now() + forward })
  await resolve('one.test')
  await eventually(async () => expect((await timed(resolve('two.test'))).ms).toBeLessThan(40))
  dead = false
  expect(await resolve('three.test')).toEqual(['93.184.215.2'])

  forward = 31_000

  await resolve('four.test')
  expect(await resolve('five.test')).toEqual(['93.184.215.1'])
})

test('while the first server answers in time, nobody else is asked', async () => {
  const quick = await startNameServer(() => ({ addresses: ['93.184.215.1'], delayMs: 50 }))
  const other = await startNameServer(() => ({ addresses: ['93.184.215.2'] }))
  const resolve = resolverAt([quick, other], { tryMs: 2000 })
  await Promise.all(Array.from({ length: 20 }, (_, index) => resolve(`n${index}.test`)))
  expect([quick.asked.length, other.asked.length]).toEqual([40, 0])
})

test('an answer that takes long is taken although others have been asked meanwhile', async () => {
  const slow = await startNameServer(() => ({ addresses: ['93.184.215.1'], delayMs: 300 }))
  const resolve = resolverAt([slow, await silent(), await silent()], { tryMs: 400 })
  expect(await resolve('hooks.test')).toEqual(['93.184.215.1'])
})

test('a name that hangs at a good server does not push it back', async () => {
  const good = await startNameServer((name) => ({ addresses: ['93.184.215.1'], silent: name === 'hang.test' }))
  const other = await silent()
  const resolve = resolverAt([good, other], { tryMs: 300 })
  const hanging = timed(resolve('hang.test'))
  await resolve('one.test')
  // It has hung at the good one, and hangs at the other now.
  await eventually(() => expect(other.asked).toEqual(['hang.test A', 'hang.test AAAA']))

  expect((await timed(resolve('two.test'))).ms).toBeLessThan(100)
  await hanging
  expect(other.asked).toHaveLength(2)
})

test('where all are silent, the one that was heard last is asked first', async () => {
  const dead = await silent()
  const good = await startNameServer((name) => ({ addresses: ['93.184.215.1'], silent: name === 'hang.test' }))
  const resolve = resolverAt([dead, good], { tryMs: 200 })
  await resolve('one.test')
  await timed(resolve('hang.test'))

  expect((await timed(resolve('two.test'))).ms).toBeLessThan(100)
})

test('a server where nobody listens is passed over at once', async () => {
  const nobody = { address: '127.0.0.1:1', asked: [] }
  const { ms, result } = await timed(
    resolverAt([nobody, await replying({ 'a.test': { addresses: ['1.1.1.1'] } })])('a.test'),
  )
  expect(result).toEqual(['1.1.1.1'])
  expect(ms).toBeLessThan(100)
  expect((await timed(resolverAt([])('a.test'))).error).toMatchObject({ code: 'DNS' })
})

test('concurrent look-ups of a name are one, also while nobody answers', async () => {
  const server = await startNameServer((name) => ({
    addresses: ['93.184.215.1'],
    delayMs: 30,
    silent: name === 'hang.test',
  }))
  const resolve = resolverAt([server])
  const all = await Promise.all(Array.from({ length: 200 }, () => resolve('hooks.test')))
  await Promise.all(Array.from({ length: 200 }, () => resolve('hang.test').catch(() => {})))

  expect(new Set(all.flat())).toEqual(new Set(['93.184.215.1']))
  expect(server.asked.filter((question) => question === 'hooks.test A')).toHaveLength(1)
  expect(server.asked.filter((question) => question === 'hang.test A')).toHaveLength(2)
})

test.each<[string, Reply, number, number]>([
  ['an answer as long as its TTL', { addresses: ['93.184.215.1'], ttl: 7 }, 6900, 7100],
  ['an answer with a long TTL half a minute', { addresses: ['93.184.215.1'], ttl: 86_400 }, 29_900, 30_100],
  ['an answer with a TTL of 0 not at all', { addresses: ['93.184.215.1'], ttl: 0 }, -1, 1],
  ['an unknown name five seconds', { error: 'NXDOMAIN' }, 4900, 5100],
  ['a name without address five seconds', {}, 4900, 5100],
  ['an error a second', { error: 'SERVFAIL' }, 900, 1100],
])('remembered is %s', async (_, reply, keptMs, forgottenMs) => {
  let forward = 0
  const server = await replying({ 'hooks.test': reply })
  const resolve = resolverAt([server], { tries: 1, now: () => performance.now() + forward })
  const ask = () => resolve('hooks.test').catch(() => [])
  const questions = () => server.asked.filter((question) => question.endsWith(' A')).length
  await ask()

  if (keptMs > 0) {
    forward = keptMs - 50
    await ask()
    expect(questions()).toBe(1)
  }
  forward = forgottenMs
  await ask()
  expect(questions()).toBe(2)
})

test('so many names are remembered and no more, the oldest forgotten first', async () => {
  const server = await startNameServer((name) => ({ addresses: [addressOf(Number(name[1]))] }))
  const resolve = resolverAt([server], { mostNames: 3 })
  for (const name of ['n0.test', 'n1.test', 'n2.test', 'n3.test', 'n3.test', 'n1.test', 'n0.test']) await resolve(name)

  const asked = server.asked.filter((question) => question.endsWith(' A')).map((question) => question.slice(0, 2))
  expect(asked).toEqual(['n0', 'n1', 'n2', 'n3', 'n0'])
})

test('the names of the operator, and only they, are asked of the system', async () => {
  const server = await replying({ 'hooks.test': { addresses: ['93.184.215.1'] } })
  const askSystem = vi.fn(createSystemAsk())
  const resolve = resolverAt([server], { allowHosts: new Set(['localhost']), askSystem })

  expect(await resolve('localhost')).toContain('127.0.0.1')
  expect(await resolve('hooks.test')).toEqual(['93.184.215.1'])

  expect(askSystem.mock.calls).toEqual([['localhost']])
  expect(server.asked).toEqual(['hooks.test A', 'hooks.test AAAA'])
})

test('the system has a deadline, and one thread at a time for a name that hangs', async () => {
  const lookup = vi.fn()
  const ask = createSystemAsk({ timeoutMs: 30, lookup })
  const answers = await Promise.all([ask('dead.internal'), ask('dead.internal')])
  expect([...answers, await ask('dead.internal')].map(({ kind }) => kind)).toEqual(['failed', 'failed', 'failed'])
  expect(lookup).toHaveBeenCalledTimes(1)

  const errorOf = (code: string) =>
    createSystemAsk({ lookup: (_name, _options, done) => done(Object.assign(new Error(), { code }), []) })
  expect(await errorOf('ENOTFOUND')('nobody.internal')).toEqual({ kind: 'none', nameExists: false })
  expect(await errorOf('EAI_AGAIN')('nobody.internal')).toMatchObject({ kind: 'failed' })
})
