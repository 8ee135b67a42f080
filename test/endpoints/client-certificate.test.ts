import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { rootCertificates } from 'node:tls'
import { expect, test } from 'vitest'
import {
  type ClientCertificateInput,
  readClientCertificate,
  shownCertificate,
} from '../../src/endpoints/client-certificate.ts'
import { Mistake } from '../../src/mistake.ts'
import * as certificates from '../egress/certificates.ts'

const { client, otherClient, authority } = certificates
const input = (more: Partial<ClientCertificateInput> = {}): ClientCertificateInput => ({
  certificatePem: client.cert,
  privateKeyPem: client.key,
  ...more,
})
const read = (more: Partial<ClientCertificateInput> = {}) =>
  readClientCertificate(input(more), ['clientCertificate'], new Date())

test('a certificate, its chain, its key and its authorities', () => {
  const alone = read()
  expect(alone.caPem).toBeNull()
  expect(shownCertificate(alone)).toEqual({
    subject: 'CN=client',
    issuer: 'CN=Postrider test authority',
    serialNumber: '01',
    validFrom: '2020-01-01T00:00:00.000Z',
    validTo: '2120-01-01T00:00:00.000Z',
    fingerprint: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
    authorities: [],
  })
  // As people have them: with text before, and the line breaks of another system.
  const chain = read({
    certificatePem: `Bag Attributes\n  friendlyName: x\n${certificates.clientByIntermediate.cert}`.replaceAll(
      '\n',
      '\r\n',
    ),
    caPem: authority + certificates.strangeAuthority,
  })
  expect(chain.certificatePem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  expect(chain.certificatePem).not.toContain('Bag')
  expect(shownCertificate(chain)).toMatchObject({
    issuer: 'CN=Intermediate',
    authorities: ['CN=Postrider test authority', 'CN=Stranger'],
  })
})

test('a key in its older form is taken', () => {
  const privateKeyPem = createPrivateKey(client.key).export({ type: 'pkcs1', format: 'pem' }) as string
  expect(privateKeyPem).toContain('BEGIN RSA PRIVATE KEY')
  expect(read({ privateKeyPem })).toEqual(read())
})

const encrypted = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'x',
}) as string
const keyOf = (pair: { privateKey: KeyObject }) => pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
const secretLine = client.key.split('\n')[3] as string

test.each([
  ['the key of another one', { privateKeyPem: otherClient.key }, 'privateKeyPem', /does not belong/],
  ['an encrypted key', { privateKeyPem: encrypted }, 'privateKeyPem', /is encrypted/],
  ['no key', { privateKeyPem: 'secret' }, 'privateKeyPem', /no private key/],
  ['a damaged key', { privateKeyPem: client.key.replace(secretLine, 'secret') }, 'privateKeyPem', /no private key/],
  ['a certificate for a key', { privateKeyPem: client.cert }, 'privateKeyPem', /no private key/],
  ['a key without end', { privateKeyPem: 'x'.repeat(70_000) }, 'privateKeyPem', /at most 65536/],
  ['no certificate', { certificatePem: 'secret' }, 'certificatePem', /BEGIN CERTIFICATE/],
  ['the key beside the certificate', { certificatePem: client.cert + client.key }, 'certificatePem', /something else/],
  ['a damaged certificate', { certificatePem: client.cert.replace(/\n.{20}/, '\n!!') }, 'certificatePem', /damaged/],
  [
    'an expired one',
    { certificatePem: certificates.expiredClient.cert },
    'certificatePem',
    /"CN=old client" expired on 2026-03-01/,
  ],
  [
    'one that is not valid yet',
    { certificatePem: certificates.earlyClient.cert },
    'certificatePem',
    /"CN=early client" is not valid before 2099-05-01/,
  ],
  [
    'a key that is too small',
    { certificatePem: certificates.weak.cert, privateKeyPem: certificates.weak.key },
    'certificatePem',
    /"CN=weak" is too weak.*2,048 to 4,096 bits/,
  ],
  ['a key of 16,384 bits', { privateKeyPem: certificates.huge.key }, 'privateKeyPem', /2,048 to 4,096 bits/],
  ['a certificate for one', { certificatePem: certificates.huge.cert }, 'certificatePem', /"CN=huge" is .*too large/],
  [
    'an issuer with one',
    { certificatePem: client.cert + certificates.hugeAuthority },
    'certificatePem',
    /"CN=huge authority" is .*too large.*up to 8,192/,
  ],
  ['an authority with one', { caPem: certificates.hugeAuthority }, 'caPem', /"CN=huge authority" is .*too large/],
  [
    'another key with its modulus',
    {
      privateKeyPem: certificates.disguisedKey,
    },
    'privateKeyPem',
    /belong/,
  ],
  [
    'another curve',
    { privateKeyPem: keyOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' })) },
    'privateKeyPem',
    /P-256/,
  ],
  ['Ed448', { privateKeyPem: keyOf(generateKeyPairSync('ed448')) }, 'privateKeyPem', /Ed25519/],
  [
    'one of thousands of names',
    { certificatePem: certificates.clientOfManyNames.cert },
    'certificatePem',
    /too much in the certificates: 30\d\d names/,
  ],
  ['an authority with as many', { caPem: certificates.clientOfManyNames.cert }, 'caPem', /too much/],
  ['no authority', { caPem: 'secret' }, 'caPem', /BEGIN CERTIFICATE/],
  ['an expired authority', { caPem: certificates.oldAuthority }, 'caPem', /expired on 2026-03-01/],
] as const)('%s is refused, and nothing of it repeated', (_, more, at, message) => {
  const refusal = () => read(more)
  expect(refusal).toThrow(Mistake)
  try {
    refusal()
  } catch (error) {
    const mistake = error as Mistake
    expect(mistake.path).toEqual(['clientCertificate', at])
    expect(mistake.message).toMatch(message)
    expect(mistake.message).not.toContain('secret')
    expect(mistake.message).not.toContain(secretLine)
    expect(mistake.cause).toBeUndefined()
  }
})

test('certificates of EC and of Ed25519', () => {
  for (const { cert, key } of [certificates.clientOfCurve, certificates.clientOfEdwards]) {
    const its = { certificatePem: cert, privateKeyPem: key }
    expect(shownCertificate(readClientCertificate(its, [], new Date('2030-01-01'))).subject).toBe('CN=client')
  }
})

test('twenty authorities with all that browsers trust them with are not too many', () => {
  const longest = rootCertificates.toSorted((one, other) => other.length - one.length).slice(0, 20)
  const valid = longest.filter((pem) => new Date(new X509Certificate(pem).validTo) > new Date())
  expect(valid.length).toBeGreaterThan(10)
  expect(shownCertificate(read({ caPem: valid.join('\n') })).authorities).toHaveLength(valid.length)
})

test('64 KiB of first lines are read at once', () => {
  const certificatePem = '-----BEGIN A-----'.repeat(65_536 / 17)
  const startedAt = performance.now()
  for (let n = 0; n < 20; n++) expect(() => read({ certificatePem })).toThrow(/BEGIN CERTIFICATE/)
  // A regular expression that looks for the last line of each takes 3.3 s.
  expect(performance.now() - startedAt).toBeLessThan(500)
})
