import { randomBytes } from 'node:crypto'
import { client, otherClient } from '../egress/certificates.ts'

/** What an endpoint can be given to be shown to its receiver, all of it secret, in every form in which it may be refused. */

const random = () => randomBytes(24).toString('hex')
// Short, for it may be seen, and is the beginning of what is searched for.
const USER = 'us'
// With what base64 and URLs spell in another way.
const basicPassword = `${random()}:/+ä"${random()}`

export const PROOFS = {
  'the value of a header': random(),
  'the value of a header, with signs': `key="${random()}"; a/b\\c+d=${random()}`,
  'the value of a header, changed': random(),
  'an authorization as a header': `Token ${random()}`,
  'the password of Basic': basicPassword,
  'user name and password of Basic': base64(`${USER}:${basicPassword}`),
  'the password of Basic, changed': random(),
  'the token of Bearer': random(),
  'the token of Bearer, changed': random(),
  'the client secret': random(),
  'a client secret that is the wrong one': random(),
  'the client secret that some token URLs repeat': random(),
  'a proof that was refused': random(),
  'a proof for an endpoint that is not there': random(),
  'a proof that was to be stored when the database failed': random(),
  ...linesOf('the private key of a client certificate', client.key),
  ...linesOf('the private key of another client certificate', otherClient.key),
}

export const NAME_OF_HEADER = 'X-Api-Key'
const header = (value: unknown, name = NAME_OF_HEADER) => ({ headers: [{ name, value }] })
export const certificate = (of: typeof client, caPem: string | null = null) => ({
  clientCertificate: { certificatePem: of.cert, privateKeyPem: of.key, caPem },
})
export const oauth = (tokenUrl: string, clientSecret: string, authentication = 'HEADER') => ({
  credentials: { oauth2ClientCredentials: { tokenUrl, clientId: USER, clientSecret, authentication } },
})
export const basic = (password: string) => ({ credentials: { basic: { username: USER, password } } })
export const bearer = (token: string) => ({ credentials: { bearer: { token } } })

/** What endpoints are made with at first. */
export const ACCEPTED = {
  headers: {
    headers: [
      { name: NAME_OF_HEADER, value: PROOFS['the value of a header'] },
      { name: 'x-signs', value: PROOFS['the value of a header, with signs'] },
    ],
  },
  authorization: header(PROOFS['an authorization as a header'], 'Authorization'),
  basic: basic(basicPassword),
  bearer: bearer(PROOFS['the token of Bearer']),
}

const W = PROOFS['a proof that was refused']
const DAMAGED = client.key.replace(/\n.{9}/, '\n!')

/** Inputs that are no inputs of `endpointCreate` and `endpointUpdate`: of a wrong type, a wrong form, or in a wrong place. */
export const REFUSED: readonly object[] = [
  ...[5, true].map((wrong) => ({ ...header(W), timeoutSeconds: 'soon', secret: wrong })),
  { secret: { value: W } },
  { secret: [W] },
  { headers: W },
  { headers: `${NAME_OF_HEADER}: ${W}` },
  { headers: { [NAME_OF_HEADER]: W } },
  { headers: { 'a-header': W } },
  { headers: [`${NAME_OF_HEADER}: ${W}`] },
  header({ of: W }),
  header([W]),
  header(` ${W} `),
  header(`${W}\r\nhost: here`),
  header(`${W}ä`),
  header(W.repeat(100)),
  header(W, 'host'),
  header(W, 'webhook-id'),
  header('x', `${NAME_OF_HEADER}: ${W}`),
  { headers: [...header(W).headers, ...header(W, NAME_OF_HEADER.toLowerCase()).headers] },
  { ...header(W, 'authorization'), ...bearer(W) },
  { credentials: W },
  { credentials: [W] },
  { credentials: { bearer: W } },
  { credentials: { bearer: [{ token: [W] }] } },
  bearer(`Bearer ${W}`),
  bearer(`${W}\n`),
  { credentials: { basic: { username: `${USER}:${W}`, password: W } } },
  { credentials: { basic: { username: USER, password: { is: W } } } },
  { credentials: { basic: { user: USER, pass: W } } },
  { credentials: { basic: `${USER}:${W}` } },
  basic(`${W}\n`),
  { credentials: { ...bearer(W).credentials, ...basic(W).credentials } },
  { credentials: { ...bearer(W).credentials, basic: null } },
  oauth(`https://${USER}:${W}@login.example.com/`, W),
  oauth('ftp://login.example.com/', W),
  oauth('https://login.example.com/', `${W}ä`),
  { credentials: { oauth2ClientCredentials: { tokenUrl: W, clientId: [USER], clientSecret: [W] } } },
  { credentials: { oauth2ClientCredentials: { clientSecret: W } } },
  oauth('https://login.example.com/', W, W),
  { clientCertificate: client.key },
  { clientCertificate: { certificatePem: client.cert + client.key, privateKeyPem: client.key } },
  { clientCertificate: { certificatePem: client.key, privateKeyPem: client.cert } },
  { clientCertificate: { certificatePem: client.cert, privateKeyPem: otherClient.key } },
  { clientCertificate: { certificatePem: client.cert, privateKeyPem: DAMAGED } },
  { clientCertificate: { certificatePem: client.cert, privateKeyPem: client.key.split('\n') } },
  { clientCertificate: { certificatePem: client.cert, privateKeyPem: client.key, caPem: client.key } },
  { clientCertificate: { certificatePem: client.cert, privateKey: client.key } },
  // By its URL, which is not https.
  certificate(client),
  header(client.key),
  bearer(client.key),
  { retry: { delaysSeconds: W }, ...header(W) },
  { retry: W },
  { method: W },
  { timeoutSeconds: W },
]

/** Text that was to be a request and is none, with a secret where it breaks. */
export const BROKEN_DOCUMENTS: readonly string[] = [
  `mutation { endpointCreate(input: { url: "https://example.com", secret: "a" "${W}" }) { secret } }`,
  `mutation { endpointCreate(input: { url: "https://example.com", "${W}": 1 }) { secret } }`,
  `mutation { endpointCreate(input: { url: "https://example.com", secret: """a""" """${W}""" }) { secret } }`,
  `mutation { endpointCreate(input: { url: "https://example.com", secret: "${W}`,
  `mutation { endpointCreate(input: { url: "https://example.com", secret = x${W} }) { secret } }`,
  `mutation { endpointCreate(input: { url: "https://example.com", secret x${W} x${W} }) { secret } }`,
  `query ($secret: String = ["${W}"]) { endpoint(id: $secret) { id } }`,
  `query ($secret: Int = "${W}") { endpoints(first: $secret) { nodes { id } } }`,
  `{ endpoint(id: { of: "${W}" }) { id } }`,
  `{ endpoint(id: "${W}") { id } }`,
  `{ node(id: "${W}") { id } }`,
  `mutation { endpointRevealSecret(id: "${W}") { userErrors { message } } }`,
]
export const BROKEN_BODIES: readonly string[] = [
  `{"query":"{ viewer { id } }","variables":{"secret":${PROOFS['the value of a header']}}}`,
  `{"query":"{ viewer { id } }","variables":{"secret":x${W}}}`,
  `{"query":"{ viewer { id } }","variables":{"secret":"${W}}}`,
  `{"query":"{ viewer { id } }","variables":{"secret":"\\x${W}"}}`,
  `{"query":"{ viewer { id } }","variables":{"secret":"a"}} ${W}`,
  `x${W}`,
  `"${W}"`,
  `["${W}"]`,
  `{"query":"{ viewer { id } }","variables":"${W}"}`,
  `{"query":["${W}"]}`,
  `{"query":{"of":"${W}"}}`,
  `{"query":"{ viewer { id } }","operationName":["${W}"]}`,
]

/** A value as it stands in a document; null for what cannot. */
export function asLiteral(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const parts = Object.entries(value).map(([name, member]) => {
    const literal = asLiteral(member)
    if (Array.isArray(value)) return literal
    return literal !== null && /^\w+$/.test(name) ? `${name}: ${literal}` : null
  })
  if (parts.includes(null)) return null
  return Array.isArray(value) ? `[${parts.join(', ')}]` : `{ ${parts.join(', ')} }`
}

/** Each line of it, for any of them is as good as a leak. */
function linesOf(name: string, pem: string): Record<string, string> {
  const lines = pem.split('\n').filter((line) => /^[A-Za-z0-9+/=]{64}$/.test(line))
  // The first says which kind of key it is, as in every other one.
  return Object.fromEntries(lines.slice(1).map((line, index) => [`${name}, line ${index + 2}`, line]))
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
