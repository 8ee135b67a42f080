import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { expect, test } from 'vitest'
import { judgeAddress, MalformedNetworksError, parseNetworks, sameAddress } from '../../src/egress/address-rules.ts'

// Which addresses are public stands in guard-tables.ts, and is tried on the whole egress.
test.each`
  address                      | allow                           | allowed
  ${'127.0.0.1'}               | ${'127.0.0.0/8'}                | ${true}
  ${'127.255.255.255'}         | ${'127.0.0.0/8'}                | ${true}
  ${'127.0.0.1'}               | ${''}                           | ${false}
  ${'10.1.2.3'}                | ${'10.1.2.3'}                   | ${true}
  ${'10.1.2.4'}                | ${'10.1.2.3'}                   | ${false}
  ${'10.1.2.3'}                | ${'192.168.0.0/16, 10.0.0.0/8'} | ${true}
  ${'10.1.2.3'}                | ${'192.168.0.0/16\n10.0.0.0/8'} | ${true}
  ${'10.1.2.3'}                | ${'0.0.0.0/0'}                  | ${true}
  ${'8.8.8.8'}                 | ${''}                           | ${true}
  ${'8.8.8.8'}                 | ${'127.0.0.0/8'}                | ${true}
  ${'::1'}                     | ${'::1'}                        | ${true}
  ${'::1'}                     | ${'127.0.0.0/8'}                | ${false}
  ${'::1'}                     | ${'0.0.0.0/0'}                  | ${false}
  ${'fd12::1'}                 | ${'fd00::/8'}                   | ${true}
  ${'fe12::1'}                 | ${'fd00::/8'}                   | ${false}
  ${'::ffff:127.0.0.1'}        | ${'127.0.0.0/8'}                | ${true}
  ${'::ffff:7f00:1'}           | ${'127.0.0.0/8'}                | ${true}
  ${'::ffff:10.0.0.1'}         | ${'127.0.0.0/8'}                | ${false}
  ${'::ffff:10.0.0.1'}         | ${'::/0'}                       | ${false}
  ${'10.0.0.1'}                | ${'::ffff:10.0.0.0/104'}        | ${true}
  ${'172.16.0.1'}              | ${'::ffff:10.0.0.0/104'}        | ${false}
  ${'127.0.0.1'}               | ${'::ffff:127.0.0.1'}           | ${true}
  ${'::7f00:1'}                | ${'127.0.0.0/8'}                | ${false}
  ${'64:ff9b::808:808'}        | ${'64:ff9b::/96'}               | ${true}
  ${'64:ff9b::808:808'}        | ${'0.0.0.0/0'}                  | ${false}
  ${'64:ff9b::7f00:1'}         | ${'64:ff9b::/96'}               | ${false}
  ${'64:ff9b::a00:1'}          | ${'64:ff9b::/96'}               | ${false}
  ${'64:ff9b::a00:1'}          | ${'::/0'}                       | ${false}
  ${'64:ff9b::a00:1'}          | ${'10.0.0.0/8'}                 | ${false}
  ${'64:ff9b::a00:1'}          | ${'64:ff9b::/96 10.0.0.0/8'}    | ${true}
  ${'64:ff9b::b00:1'}          | ${'64:ff9b::/96 10.0.0.0/8'}    | ${true}
  ${'64:ff9b::7f00:1'}         | ${'64:ff9b::/96 10.0.0.0/8'}    | ${false}
  ${'64:ff9b::a00:1'}          | ${'64:ff9b::a00:1'}             | ${true}
  ${'64:ff9b::a00:2'}          | ${'64:ff9b::a00:1'}             | ${false}
  ${'64:ff9b:1::808:808'}      | ${'64:ff9b:1::/96'}             | ${true}
  ${'64:ff9b:1::a00:1'}        | ${'64:ff9b:1::/96'}             | ${false}
  ${'64:ff9b:1:808:8:800::'}   | ${'64:ff9b:1::/48'}             | ${true}
  ${'64:ff9b:1:a00:0:100::'}   | ${'64:ff9b:1::/48'}             | ${false}
  ${'64:ff9b:1:a00:0:100::'}   | ${'64:ff9b:1::/48 10.0.0.0/8'}  | ${true}
  ${'64:ff9b:1:8:8:808::'}     | ${'64:ff9b:1::/56'}             | ${true}
  ${'64:ff9b:1:a:0:1::'}       | ${'64:ff9b:1::/56'}             | ${false}
  ${'64:ff9b:1:0:8:808:800:0'} | ${'64:ff9b:1::/64'}             | ${true}
  ${'64:ff9b:1:0:a:0:100:0'}   | ${'64:ff9b:1::/64'}             | ${false}
  ${'64:ff9b:1::a00:1'}        | ${'64:ff9b:1::/52'}             | ${false}
  ${'64:ff9b:1::808:808'}      | ${'::/0'}                       | ${false}
  ${'2002:a00:1::1'}           | ${'2002::/16'}                  | ${false}
  ${'2002:a00:1::1'}           | ${'2002::/16 10.0.0.0/8'}       | ${true}
  ${'2002:808:808::1'}         | ${'2002::/16'}                  | ${true}
  ${'fd00::5efe:a00:1'}        | ${'fd00::/8'}                   | ${false}
  ${'fd00::5efe:808:808'}      | ${'fd00::/8'}                   | ${true}
  ${'::ffff:0:7f00:1'}         | ${'::/0'}                       | ${false}
  ${'::7f00:1'}                | ${'::/0'}                       | ${false}
  ${'::1'}                     | ${'::/0'}                       | ${true}
  ${'169.254.1.1'}             | ${'169.254.0.0/16'}             | ${true}
  ${'169.254.169.254'}         | ${'169.254.0.0/16'}             | ${false}
  ${'169.254.169.254'}         | ${'169.254.169.254/31'}         | ${false}
  ${'169.254.169.254'}         | ${'169.254.169.254/32'}         | ${true}
  ${'169.254.169.254'}         | ${'::ffff:169.254.169.254'}     | ${true}
  ${'fd00:ec2::254'}           | ${'fd00:ec2::254/128'}          | ${true}
  ${'fd00:ec2::254'}           | ${'fd00:ec2::/64'}              | ${false}
  ${'fe80::1%eth0'}            | ${'::/0'}                       | ${false}
  ${'8.8.8.8%eth0'}            | ${'0.0.0.0/0'}                  | ${false}
  ${'127.1'}                   | ${'127.0.0.0/8'}                | ${false}
  ${'0x7f.0.0.1'}              | ${'127.0.0.0/8'}                | ${false}
  ${'2130706433'}              | ${'127.0.0.0/8'}                | ${false}
  ${'localhost'}               | ${'127.0.0.0/8'}                | ${false}
  ${''}                        | ${'0.0.0.0/0 ::/0'}             | ${false}
`('$address with "$allow" allowed: $allowed', ({ address, allow, allowed }) => {
  expect(judgeAddress(address, parseNetworks(allow)).allowed).toBe(allowed)
})

test.each`
  address                 | reason                                                   | meant
  ${'10.1.2.3'}           | ${'points into a private network'}                       | ${'10.0.0.0/8'}
  ${'fd12::1'}            | ${'points into a private network'}                       | ${'fc00::/7'}
  ${'127.0.0.1'}          | ${'points back to this machine'}                         | ${'127.0.0.0/8'}
  ${'::1'}                | ${'points back to this machine'}                         | ${'::1/128'}
  ${'169.254.169.254'}    | ${'points to a metadata service'}                        | ${undefined}
  ${'::'}                 | ${'points to an address that stands for "this machine"'} | ${undefined}
  ${'fe80::1'}            | ${'points to a link-local address'}                      | ${undefined}
  ${'fec0::1'}            | ${'points to a link-local address'}                      | ${undefined}
  ${'64:ff9b::808:808'}   | ${'points through a gateway into IPv4'}                  | ${undefined}
  ${'64:ff9b:1::808:808'} | ${'points through a gateway into IPv4'}                  | ${undefined}
  ${'fd00::5efe:a00:1'}   | ${'points into an IPv4 tunnel (ISATAP)'}                 | ${undefined}
  ${'224.0.0.1'}          | ${'points to a multicast or reserved address'}           | ${undefined}
  ${'255.255.255.255'}    | ${'points to a multicast or reserved address'}           | ${undefined}
  ${'ff02::1'}            | ${'points to a multicast or reserved address'}           | ${undefined}
  ${'4000::1'}            | ${'points outside the public IPv6 addresses (2000::/3)'} | ${undefined}
  ${'fe80::1%eth0'}       | ${'is not an IP address'}                                | ${undefined}
`('$address $reason', ({ address, reason, meant }) => {
  expect(judgeAddress(address, [])).toEqual({ allowed: false, reason, ...(meant ? { meant } : {}) })
})

const octets = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 })
const allowances = fc.constantFrom('', '10.0.0.0/8', '0.0.0.0/0', '::/0', '169.254.169.254, 127.0.0.0/8')

test('whatever IPv4 address is mapped into IPv6, in whatever spelling, is judged as the IPv4 address', () => {
  fc.assert(
    fc.property(
      fc.oneof(octets, fc.constant([169, 254, 169, 254])),
      allowances,
      ([a = 0, b = 0, c = 0, d = 0], allow) => {
        const v4 = `${a}.${b}.${c}.${d}`
        const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
        const verdict = judgeAddress(v4, parseNetworks(allow))
        for (const mapped of [`::ffff:${v4}`, `::ffff:${hex}`, `::FFFF:${hex}`, `0:0:0:0:0:ffff:${hex}`]) {
          expect(judgeAddress(mapped, parseNetworks(allow))).toEqual(verdict)
          expect(sameAddress(mapped, v4)).toBe(true)
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('no IPv6 address outside 2000::/3 is allowed but the mapped ones, and none that ipaddr.js does not call unicast', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 16, maxLength: 16 }), (bytes) => {
      const address = ipaddr.fromByteArray(bytes) as ipaddr.IPv6
      if (address.isIPv4MappedAddress() || !judgeAddress(address.toString(), []).allowed) return
      expect((bytes[0] ?? 0) >> 5).toBe(1)
      expect(address.range()).toBe('unicast')
    }),
    { numRuns: 5000 },
  )
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
