import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import forge from 'node-forge'

/** Certificates for TLS on loopback, made anew for each test file that imports this; nobody else trusts their authority. */

type Key = { pem: string; forge: forge.pki.rsa.PrivateKey }
type Issued = { name: string; key: Key; pem: string }

/** What a server of node:tls needs. */
export type ServerCertificate = { cert: string; key: string }

type Wanted = {
  name: string
  names?: string[]
  from?: string
  to?: string
  issuer?: Issued
  isAuthority?: boolean
  key?: Key
}

export const HOST = 'receiver.test'
export const EXPIRED_ON = '2026-03-01'
export const VALID_FROM = '2099-05-01'

// Two keys for all: making one takes 50 to 300 ms, and nothing here depends on whose it is.
const [authorityKey, serverKey] = [newKey(2048), newKey(2048)]
const ours = [HOST, '127.0.0.1']
const root = issue({ name: 'Postrider test authority', isAuthority: true, key: authorityKey })
const intermediate = issue({ name: 'Intermediate', isAuthority: true, key: authorityKey, issuer: root })
const oldIntermediate = issue({
  name: 'Intermediate',
  isAuthority: true,
  key: authorityKey,
  issuer: root,
  to: EXPIRED_ON,
})
const stranger = issue({ name: 'Stranger', isAuthority: true, key: authorityKey })

/** The authority that tests trust. */
export const authority = root.pem
/** For receiver.test and 127.0.0.1. */
export const valid = server({ name: 'valid', names: ours, issuer: root })
export const validByIntermediate = server({ name: 'valid', names: ours, issuer: intermediate }, intermediate)
export const expired = server({ name: 'expired', names: ours, issuer: root, to: EXPIRED_ON })
export const notYetValid = server({ name: 'early', names: ours, issuer: root, from: VALID_FROM })
export const expiredIntermediate = server({ name: 'valid', names: ours, issuer: oldIntermediate }, oldIntermediate)
export const forAnotherHost = server({
  name: 'other',
  names: ['other.test', '<script>"\x07\xe9', 'x'.repeat(200), ...Array.from({ length: 97 }, (_, i) => `${i}.test`)],
  issuer: root,
})
export const forNoHost = server({ name: `no "host" at all\u0007${'x'.repeat(50)}`, issuer: root })
export const selfSigned = server({ name: 'self-signed', names: ours })
export const withoutIntermediate = server({ name: 'valid', names: ours, issuer: intermediate })
export const ofAStranger = server({ name: 'valid', names: ours, issuer: stranger }, stranger)
/** Its key of 1,024 bits is below what OpenSSL accepts, on our side and, unless told otherwise, the server's. */
export const weak = {
  ...server({ name: 'weak', names: ours, issuer: root, key: newKey(1024) }),
  ciphers: 'DEFAULT@SECLEVEL=0',
}

/** Of 16,384 bits that are nobody's key: what they would cost is seen before anything is reckoned with them. */
export const huge = server({ name: 'huge', issuer: root, key: hugeKey(16_384) })
export const hugeAuthority = issue({
  name: 'huge authority',
  isAuthority: true,
  issuer: root,
  key: hugeKey(16_384),
}).pem
/** For clients. */
export const client = server({ name: 'client', issuer: root })
export const otherClient = server({ name: 'other client', issuer: root, key: authorityKey })
export const clientOfManyNames = server({ name: 'client', names: Array(2990).fill('a'), issuer: root })
export const clientByIntermediate = server({ name: 'client', issuer: intermediate }, intermediate)
export const expiredClient = server({ name: 'old client', issuer: root, to: EXPIRED_ON })
export const earlyClient = server({ name: 'early client', issuer: root, from: VALID_FROM })
export const strangeClient = server({ name: 'client of a stranger', issuer: stranger })
export const strangeAuthority = stranger.pem
export const oldAuthority = oldIntermediate.pem

/** Another key under the modulus of the client's. */
export const disguisedKey = disguised(authorityKey, serverKey)
/** Of P-256 and of Ed25519, which the library here cannot issue; made in November of 2026. */
export const clientOfCurve: ServerCertificate = {
  cert: pemOf(
    'CERTIFICATE',
    'MIIBeTCCAR+gAwIBAgIUFp9wWYzQLuFXsCMPIu23ldMPyoAwCgYIKoZIzj0EAwIwETEPMA0GA1UEAwwGY2xpZW50MCAXDTI2MTEyMTIwMzk0MFoYDzIxMjYxMDI4MjAzOTQwWjARMQ8wDQYDVQQDDAZjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARxIT9gU4B7b1UMJS029QZN/lFNZagJHIUneqa1uVsf/qH0ZAZb1uYi0mQvBQXv+2dtT7zOC/MAoXte7inn8MMbo1MwUTAdBgNVHQ4EFgQU7dVpiGvELQPJR84bapscYnVtGQ0wHwYDVR0jBBgwFoAU7dVpiGvELQPJR84bapscYnVtGQ0wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA2T1TzAP0C7qR5/9QPeOdUmhwIho2ts9l2bwMHStPvmECICuI86PBZrrNm84cyXWQFeY3PgpjOBb0IFQj7gEBASg3',
  ),
  key: pemOf(
    'PRIVATE KEY',
    'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXDgr4c4TSR/74t9dojWR1/6xbQjtHLmP2F03rQ3BAtOhRANCAARxIT9gU4B7b1UMJS029QZN/lFNZagJHIUneqa1uVsf/qH0ZAZb1uYi0mQvBQXv+2dtT7zOC/MAoXte7inn8MMb',
  ),
}
export const clientOfEdwards: ServerCertificate = {
  cert: pemOf(
    'CERTIFICATE',
    'MIIBODCB66ADAgECAhRWKv2OUir/2gdwlPbVpYI+hJS/pjAFBgMrZXAwETEPMA0GA1UEAwwGY2xpZW50MCAXDTI2MTEyMTIwMzk0MFoYDzIxMjYxMDI4MjAzOTQwWjARMQ8wDQYDVQQDDAZjbGllbnQwKjAFBgMrZXADIQCLdzm3YFMGiylxJzFsbpQILubWhTOZF7G2lNsWF3sK+qNTMFEwHQYDVR0OBBYEFECh5OZRfyXFW3LCXjianyehVFQCMB8GA1UdIwQYMBaAFECh5OZRfyXFW3LCXjianyehVFQCMA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EA8Dp9onqC+guKejL8PC+1GwoSZ9VqwOwznrO86ZKbckhQC2b/zRhZqXumQTYcblcZ7RRWf3wCS98WMKAkSRvjBg==',
  ),
  key: pemOf('PRIVATE KEY', 'MC4CAQAwBQYDK2VwBCIEIFCwioPYUzn2+s6XLi8+r1RxyEMpKeXxK/j9trB0RSHU'),
}

/** A certificate with those of the chain that are sent with it. */
function server(wanted: Wanted, ...chain: Issued[]): ServerCertificate {
  const { key, pem } = issue(wanted)
  return { cert: pem + chain.map((each) => each.pem).join(''), key: key.pem }
}

function issue({ name, names = [], from = '2020-01-01', to = '2120-01-01', issuer, isAuthority, key }: Wanted): Issued {
  const own = key ?? serverKey
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.setRsaPublicKey(own.forge.n, own.forge.e)
  certificate.serialNumber = '01'
  certificate.validity.notBefore = new Date(from)
  certificate.validity.notAfter = new Date(to)
  certificate.setSubject([{ name: 'commonName', value: name }])
  certificate.setIssuer([{ name: 'commonName', value: issuer?.name ?? name }])
  const altNames = names.map((each) => (each === '127.0.0.1' ? { type: 7, ip: each } : { type: 2, value: each }))
  certificate.setExtensions([
    ...(isAuthority ? [{ name: 'basicConstraints', cA: true, critical: true }] : []),
    ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
  ])
  certificate.sign((issuer?.key ?? own).forge, forge.md.sha256.create())
  return { name, key: own, pem: forge.pki.certificateToPem(certificate) }
}

function newKey(modulusLength: number): Key {
  const pem = generateKeyPairSync('rsa', { modulusLength }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  }) as string
  return { pem, forge: forge.pki.privateKeyFromPem(pem) }
}

function disguised({ forge: key }: Key, { forge: shown }: Key): string {
  const { d, p, q, dP, dQ, qInv } = key
  return forge.pki.privateKeyToPem(forge.pki.setRsaPrivateKey(shown.n, shown.e, d, p, q, dP, dQ, qInv))
}

function hugeKey(modulusLength: number): Key {
  const odd = (bits: number) => Buffer.alloc(bits / 8, 0xff).toString('base64url')
  const half = odd(modulusLength / 2)
  const [n, d] = [odd(modulusLength), odd(modulusLength)]
  const key = { kty: 'RSA', n, e: 'AQAB', d, p: half, q: half, dp: half, dq: half, qi: half }
  const pem = createPrivateKey({ format: 'jwk', key }).export({ type: 'pkcs8', format: 'pem' }) as string
  return { pem, forge: forge.pki.privateKeyFromPem(pem) }
}

function pemOf(label: string, base64: string): string {
  return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`
}
