import { Buffer } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { publicId } from '../../schema/ids.ts'
import type { SigningKey } from '../endpoints/signing-keys.ts'
import { answerError, answerJson } from './answer.ts'

/** The public halves of a tenant's signing keys as a JWK set; null where it has none, and where there is no such tenant. */
export type KeyDiscovery = { find(tenant: string): Promise<Buffer | null> }

/**
 * Everybody may ask, without a credential: so one statement at a time answers whoever asks meanwhile, and a flood of requests takes
 * no more than one connection from those who have one. Of a tenant they are given the same bytes: with 10,000 endpoints they are 4 MB.
 */
export function createKeyDiscovery(
  read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, SigningKey[]>>,
): KeyDiscovery {
  let asked = new Map<string, PromiseWithResolvers<Buffer | null>>()
  let reading = false
  const readAll = async () => {
    reading = true
    while (asked.size > 0) {
      const batch = asked
      asked = new Map()
      try {
        const found = await read([...batch.keys()])
        for (const [tenant, { resolve }] of batch) resolve(printed(found.get(tenant) ?? []))
      } catch (error) {
        for (const { reject } of batch.values()) reject(error)
      }
    }
    reading = false
  }
  return {
    find(tenant) {
      const waiting = asked.get(tenant) ?? Promise.withResolvers<Buffer | null>()
      asked.set(tenant, waiting)
      if (!reading) void readAll()
      return waiting.promise
    },
  }
}

const PATH = '/.well-known/webhook-keys/'
// The next key is published long before it signs, so that receivers may keep the set for a while.
const KEEP_SECONDS = 300

/** `/.well-known/webhook-keys/<tenant>`; false for any other path. */
export async function answersKeys(
  path: string,
  keys: KeyDiscovery,
  { method }: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  if (!path.startsWith(PATH)) return false
  if (method !== 'GET' && method !== 'HEAD') {
    answerError(response, 405, { code: 'BAD_REQUEST', message: 'Use GET.' }, { allow: 'GET, HEAD' })
    return true
  }
  const tenant = decoded(path.slice(PATH.length))
  const found = tenant === null ? null : await keys.find(tenant)
  if (found === null) {
    // In one way, so that nobody learns which tenants there are that have no keys.
    const message = `There are no webhook keys here. After ${PATH} stands the key of a tenant with an endpoint whose signing has \`ed25519: true\`.`
    answerJson(response, 404, { errors: [{ message, extensions: { code: 'NOT_FOUND' } }] })
    return true
  }
  const headers = { 'content-type': 'application/jwk-set+json', 'cache-control': `public, max-age=${KEEP_SECONDS}` }
  answerJson(response, 200, found, headers)
  return true
}

function printed(keys: readonly SigningKey[]): Buffer | null {
  return keys.length === 0 ? null : Buffer.from(JSON.stringify({ keys: keys.map(jwkOf) }))
}

/** RFC 7517 and RFC 8037; `endpoint` is a member of our own. */
function jwkOf({ id, endpointId, publicKey }: SigningKey) {
  return {
    kty: 'OKP',
    crv: 'Ed25519',
    x: Buffer.from(publicKey).toString('base64url'),
    kid: publicId('sik', id),
    use: 'sig',
    alg: 'EdDSA',
    endpoint: publicId('ep', endpointId),
  }
}

/** The key of a tenant, or null for what cannot be one. */
function decoded(text: string): string | null {
  try {
    const key = decodeURIComponent(text)
    return /^[\w.:-]{1,64}$/.test(key) ? key : null
  } catch {
    return null
  }
}
