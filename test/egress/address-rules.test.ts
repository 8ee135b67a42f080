import { expect, test } from 'vitest'
import { judgeAddress, MalformedNetworksError, parseNetworks, sameAddress } from '../../src/egress/address-rules.ts'

test.each`
  address               | allow                           | allowed
  ${'127.0.0.1'}        | ${'127.0.0.0/8'}                | ${true}
  ${'127.255.255.255'}  | ${'127.0.0.0/8'}                | ${true}
  ${'126.255.255.255'}  | ${'127.0.0.0/8'}                | ${false}
  ${'128.0.0.0'}        | ${'127.0.0.0/8'}                | ${false}
  ${'10.1.2.3'}         | ${'10.1.2.3'}                   | ${true}
  ${'10.1.2.4'}         | ${'10.1.2.3'}                   | ${false}
  ${'10.1.2.3'}         | ${'192.168.0.0/16, 10.0.0.0/8'} | ${true}
  ${'10.1.2.3'}         | ${'192.168.0.0/16\n10.0.0.0/8'} | ${true}
  ${'8.8.8.8'}          | ${'0.0.0.0/0'}                  | ${true}
  ${'8.8.8.8'}          | ${''}                           | ${false}
  ${'8.8.8.8'}          | ${'127.0.0.0/8'}                | ${false}
  ${'::1'}              | ${'::1'}                        | ${true}
  ${'::1'}              | ${'127.0.0.0/8'}                | ${false}
  ${'::1'}              | ${'0.0.0.0/0'}                  | ${false}
  ${'fd12::1'}          | ${'fd00::/8'}                   | ${true}
  ${'fe12::1'}          | ${'fd00::/8'}                   | ${false}
  ${'::ffff:127.0.0.1'} | ${'127.0.0.0/8'}                | ${true}
  ${'::ffff:7f00:1'}    | ${'127.0.0.0/8'}                | ${true}
  ${'::ffff:10.0.0.1'}  | ${'127.0.0.0/8'}                | ${false}
  ${'::ffff:10.0.0.1'}  | ${'::/0'}                       | ${false}
  ${'10.0.0.1'}         | ${'::ffff:10.0.0.0/104'}        | ${true}
  ${'11.0.0.1'}         | ${'::ffff:10.0.0.0/104'}        | ${false}
  ${'127.0.0.1'}        | ${'::ffff:127.0.0.1'}           | ${true}
  ${'::7f00:1'}         | ${'127.0.0.0/8'}                | ${false}
  ${'127.1'}            | ${'127.0.0.0/8'}                | ${false}
  ${'0x7f.0.0.1'}       | ${'127.0.0.0/8'}                | ${false}
  ${'2130706433'}       | ${'127.0.0.0/8'}                | ${false}
  ${'localhost'}        | ${'127.0.0.0/8'}                | ${false}
  ${''}                 | ${'0.0.0.0/0 ::/0'}             | ${false}
`('$address with "$allow" allowed: $allowed', ({ address, allow, allowed }) => {
  const verdict = judgeAddress(address, parseNetworks(allow))

  expect(verdict.allowed).toBe(allowed)
  expect(verdict.reason === undefined).toBe(allowed)
})

test('a malformed list names every malformed entry', () => {
  const text = '10.0.0.0/8, 10.0.0.0/33 nonsense,::1/129 127.1 10.0.0.0/8/8 10.0.0.0/ 10.0.0.0/-1 fe80::1%eth0'

  expect(() => parseNetworks(text)).toThrow(MalformedNetworksError)
  expect(() => parseNetworks(text)).toThrow(
    '"10.0.0.0/33", "nonsense", "::1/129", "127.1", "10.0.0.0/8/8", "10.0.0.0/", "10.0.0.0/-1", "fe80::1%eth0"',
  )
})

test('the same address in two spellings', () => {
  expect(sameAddress('::1', '0:0:0:0:0:0:0:1')).toBe(true)
  expect(sameAddress('::ffff:127.0.0.1', '127.0.0.1')).toBe(true)
  expect(sameAddress('127.0.0.1', '127.0.0.2')).toBe(false)
  expect(sameAddress('nonsense', 'nonsense')).toBe(false)
})
