import { networkInterfaces } from 'node:os'
import { expect, test, vi } from 'vitest'
import { parseNetworks } from '../../src/egress/address-rules.ts'
import { createNameServers } from '../../src/egress/name-servers.ts'
import type { EgressOptions } from '../../src/egress/request.ts'
import { createResolver } from '../../src/egress/resolver.ts'
import { silentLog } from '../../src/log.ts'
import { type Reply, startNameServer } from '../support/name-server.ts'
import { FORBIDDEN_DISGUISES, FORBIDDEN_NETWORKS, METADATA, PUBLIC, SPELLINGS } from './guard-tables.ts'
import { egressOf, receiverOf, recorderTo } from './world.ts'

const NETWORKS = FORBIDDEN_NETWORKS.flatMap(([network, first, last]) =>
  [...new Set([first, last])].map((address) => [network, address]),
)
const NEIGHBOURS = FORBIDDEN_NETWORKS.flatMap(([network, , , before, after]) =>
  [before, after].filter(Boolean).map((address) => [`beside ${network}`, address]),
)

const hostOf = (address: string) => (address.includes(':') ? `[${address}]` : address)
/** As the URL parser writes it. */
const written = (address: string) => new URL(`http://${hostOf(address)}/`).hostname.replace(/^\[|\]$/g, '')

/** The whole egress but for its last step: what it is told to dial is noted, and a receiver on loopback dialled. */
async function world(options: Partial<EgressOptions> = {}) {
  const receiver = await receiverOf()
  receiver.answers({ headers: { connection: 'close' } })
  const recorder = recorderTo(receiver.port)
  const log = { ...silentLog, warn: vi.fn() }
  const egress = egressOf({ allowNetworks: [], dial: recorder.dial, log, ...options })
  return { ...egress, ...recorder, receiver, log }
}

test('the tables are as long as they should be', () => {
  const addresses = [...NETWORKS, ...NEIGHBOURS, ...FORBIDDEN_DISGUISES, ...PUBLIC].map(([, address]) => address)
  expect(new Set(addresses).size).toBeGreaterThanOrEqual(130)
  expect(SPELLINGS.flatMap(([, spellings]) => spellings).length).toBeGreaterThanOrEqual(40)
})

test.each([...NETWORKS, ...FORBIDDEN_DISGUISES])('%s: %s is never dialled', async (_, address) => {
  const literal = await world()
  const name = await world({ resolve: async () => [String(address)] })

  for (const [{ post }, host] of [
    [literal, hostOf(String(address))],
    [name, 'hooks.test'],
  ] as const) {
    const { failure, remoteAddress } = await post(`http://${host}/hook`)
    expect(failure).toMatchObject({
      errorClass: 'BLOCKED_ADDRESS',
      message: expect.stringContaining('not point to a public'),
    })
    expect(remoteAddress).toBeNull()
  }

  expect([...literal.dialled, ...name.dialled]).toEqual([])
  expect(name.log.warn).toHaveBeenCalledWith(
    expect.objectContaining({ host: 'hooks.test', refused: [{ address, reason: expect.any(String) }] }),
    expect.any(String),
  )
})

test.each([...NEIGHBOURS, ...PUBLIC])('%s: %s is dialled, at exactly that address', async (_, address) => {
  const literal = await world()
  const name = await world({ resolve: async () => [String(address)] })

  const results = [
    await literal.post(`http://${hostOf(String(address))}/hook`),
    await name.post('http://hooks.test/hook'),
  ]

  expect(results).toMatchObject([
    { status: 200, remoteAddress: written(String(address)) },
    { status: 200, remoteAddress: address },
  ])
  expect([literal.dialled, name.dialled]).toEqual([[written(String(address))], [address]])
})

test.each(SPELLINGS.flatMap(([address, spellings]) => spellings.map((spelling) => [spelling, address])))(
  '%s is %s: judged and dialled as that',
  async (spelling, address) => {
    const closed = await world()
    const open = await world({ allowNetworks: parseNetworks(`0.0.0.0/0 ::/0 169.254.169.254`) })

    expect((await closed.post(`http://${spelling}/hook`)).failure).toMatchObject({ errorClass: 'BLOCKED_ADDRESS' })
    expect(await open.post(`http://${spelling}/hook`)).toMatchObject({ status: 200, remoteAddress: address })

    expect([closed.dialled, open.dialled]).toEqual([[], [address]])
  },
)

test.each(METADATA)('the metadata address %s is dialled only where it is named exactly', async (address) => {
  const around = await world({ allowNetworks: parseNetworks('0.0.0.0/0 ::/0 0.0.0.0/1 128.0.0.0/1 fd00::/8') })
  const named = await world({ allowNetworks: parseNetworks(`10.0.0.0/8 ${address}`) })

  expect((await around.post(`http://${hostOf(address)}/`)).failure).toMatchObject({ errorClass: 'BLOCKED_ADDRESS' })
  expect(await named.post(`http://${hostOf(address)}/`)).toMatchObject({ status: 200, remoteAddress: address })

  expect([around.dialled, named.dialled]).toEqual([[], [address]])
})

test.each([
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::a9fe:a9fe',
  '2002:a9fe:a9fe::1',
  '2606:4700::5efe:a9fe:a9fe',
  '::a9fe:a9fe',
])('metadata behind an allowed gateway, %s, is not dialled either', async (address) => {
  const { post, dialled } = await world({ allowNetworks: parseNetworks('::/0 169.254.169.254') })
  expect((await post(`http://[${address}]/`)).failure).toMatchObject({ errorClass: 'BLOCKED_ADDRESS' })
  expect(dialled).toEqual([])
})

/** A world whose names are those of a real name server. */
async function namedWorld(replies: Record<string, Reply | Reply[]>) {
  const server = await startNameServer((name, family) => {
    const reply = replies[name] ?? { error: 'NXDOMAIN' }
    // Each answer of a list for one look-up of both families; the last for all that follow.
    if (!Array.isArray(reply)) return reply
    return (family === 6 && reply.length > 1 ? reply.shift() : reply[0]) ?? {}
  })
  const resolve = createResolver({ askNameServers: createNameServers({ servers: () => [server.address] }) })
  return { ...(await world({ resolve })), server }
}

test.each<[string, Reply, string[]]>([
  ['a private address', { addresses: ['10.0.0.1'] }, []],
  ['loopback by IPv6', { addresses: ['::1'] }, []],
  ['metadata, mapped', { addresses: ['::ffff:169.254.169.254'] }, []],
  ['metadata, through NAT64', { addresses: ['64:ff9b::a9fe:a9fe'] }, []],
  ['another name that is internal', { alias: 'db.internal', addresses: ['192.168.7.7'] }, []],
  ['another name that is public', { alias: 'cdn.test', addresses: ['93.184.215.14'] }, ['93.184.215.14']],
  ['both kinds of address', { addresses: ['10.0.0.1', '93.184.215.14'] }, ['93.184.215.14']],
  ['both, in the other order', { addresses: ['93.184.215.14', '10.0.0.1'] }, ['93.184.215.14']],
  ['a private IPv4 and a public IPv6 address', { addresses: ['10.0.0.1', '2606:4700::1'] }, ['2606:4700::1']],
])('a name that resolves to %s', async (_, reply, expected) => {
  const { post, dialled } = await namedWorld({ 'hooks.test': reply })

  const { status, failure } = await post('http://hooks.test/')

  expect(dialled).toEqual(expected)
  if (expected.length > 0) expect(status).toBe(200)
  else expect(failure).toMatchObject({ errorClass: 'BLOCKED_ADDRESS' })
})

test('a name that is rebound between two look-ups is judged anew, and dialled as judged', async () => {
  const { post, dialled, server } = await namedWorld({
    'rebind.test': [
      { addresses: ['93.184.215.14'], ttl: 0 },
      { addresses: ['169.254.169.254'], ttl: 0 },
    ],
  })

  expect(await post('http://rebind.test/')).toMatchObject({ status: 200, remoteAddress: '93.184.215.14' })
  expect((await post('http://rebind.test/')).failure).toMatchObject({ errorClass: 'BLOCKED_ADDRESS' })

  expect(dialled).toEqual(['93.184.215.14'])
  expect(server.asked.filter((question) => question.endsWith(' A'))).toHaveLength(2)
})

test('of a thousand addresses behind one name only a few are dialled', async () => {
  const addresses = Array.from({ length: 1000 }, (_, index) => `93.184.${index >> 8}.${index & 255}`)
  const dialled: string[] = []
  const dial: EgressOptions['dial'] = ({ address }) => {
    dialled.push(address)
    throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
  }
  const { post } = await world({ resolve: async () => addresses, dial })

  expect((await post('http://hooks.test/')).failure).toMatchObject({ errorClass: 'CONNECT_REFUSED' })
  expect(dialled).toEqual(addresses.slice(0, 8))
})

test.each`
  own                                     | url                               | refused
  ${{ address: '127.0.0.1', port: 4000 }} | ${'http://127.0.0.1:4000/'}       | ${true}
  ${{ address: '127.0.0.1', port: 4000 }} | ${'http://[::ffff:7f00:1]:4000/'} | ${true}
  ${{ address: '127.0.0.1', port: 4000 }} | ${'http://0.0.0.0:4000/'}         | ${true}
  ${{ address: '127.0.0.1', port: 4000 }} | ${'http://[::]:4000/'}            | ${true}
  ${{ address: '127.0.0.1', port: 4000 }} | ${'http://hooks.test:4000/'}      | ${true}
  ${{ address: '127.0.0.1', port: 4000 }} | ${'http://127.0.0.1:4001/'}       | ${false}
  ${{ address: '127.0.0.1', port: 4000 }} | ${'http://127.0.0.2:4000/'}       | ${false}
  ${{ address: '127.0.0.1', port: 4000 }} | ${'http://8.8.8.8:4000/'}         | ${false}
  ${{ address: '127.0.0.1', port: 80 }}   | ${'http://127.0.0.1/'}            | ${true}
  ${{ address: '0.0.0.0', port: 4000 }}   | ${'http://127.0.0.1:4000/'}       | ${true}
  ${{ address: '0.0.0.0', port: 4000 }}   | ${'http://127.9.9.9:4000/'}       | ${true}
  ${{ address: '0.0.0.0', port: 4000 }}   | ${'http://8.8.8.8:4000/'}         | ${false}
  ${{ address: '0.0.0.0', port: 4000 }}   | ${'http://127.0.0.1:4001/'}       | ${false}
  ${{ address: '::', port: 4000 }}        | ${'http://127.0.0.1:4000/'}       | ${true}
  ${{ address: '::', port: 4000 }}        | ${'http://[::1]:4000/'}           | ${true}
  ${{ address: '::1', port: 4000 }}       | ${'http://[::1]:4000/'}           | ${true}
  ${{ address: '::1', port: 4000 }}       | ${'http://127.0.0.1:4000/'}       | ${false}
  ${null}                                 | ${'http://127.0.0.1:4000/'}       | ${false}
`('while we listen at $own, $url is refused: $refused', async ({ own, url, refused }) => {
  const { post, dialled } = await world({
    allowNetworks: parseNetworks('0.0.0.0/0 ::/0'),
    resolve: async () => ['127.0.0.1'],
    ownAddress: () => own,
  })

  const { status, failure } = await post(url)

  expect(dialled).toHaveLength(refused ? 0 : 1)
  if (!refused) expect(status).toBe(200)
  else
    expect(failure).toMatchObject({
      errorClass: 'BLOCKED_ADDRESS',
      message: expect.stringContaining('back to Postrider'),
    })
})

test('while we listen at any address, every address of this machine is ours', async () => {
  const { post, dialled } = await world({
    allowNetworks: parseNetworks('0.0.0.0/0 ::/0'),
    ownAddress: () => ({ address: '0.0.0.0', port: 4000 }),
  })
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? [])

  expect(addresses).toContain('127.0.0.1')
  for (const address of addresses) {
    expect((await post(`http://${hostOf(address)}:4000/`)).failure?.errorClass, address).toBe('BLOCKED_ADDRESS')
  }
  expect(dialled).toEqual([])
})

test('with https only, what was stored as http before is not sent', async () => {
  const { post, dialled } = await world({ httpsOnly: true })
  expect((await post('http://8.8.8.8/')).failure).toEqual({
    errorClass: 'BLOCKED_ADDRESS',
    message: expect.stringContaining('https'),
  })
  expect(dialled).toEqual([])
})

test('a consumer cannot flood the log with what is refused', async () => {
  const { post, log } = await world()
  await Promise.all(Array.from({ length: 300 }, (_, index) => post(`http://10.0.${index >> 8}.${index & 255}/`)))
  expect(log.warn).toHaveBeenCalledTimes(60)
})
