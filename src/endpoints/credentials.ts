import { createHash } from 'node:crypto'
import { and, eq, inArray } from 'drizzle-orm'
import type { EndpointId, TenantId } from '../../schema/ids.ts'
import type { CredentialPart } from '../../schema/states.ts'
import {
  endpointCredentials,
  type ShownAuthorization,
  type ShownCertificate,
  type ShownPart,
} from '../../schema/tables/endpoint-credentials.ts'
import type { UrlRules } from '../egress/url-rules.ts'
import { type Optional, wrong } from '../input.ts'
import { type Mistake, readAll } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import { SEALED_COLUMNS } from '../sealing/columns.ts'
import { SealError, type Sealer } from '../sealing/sealer.ts'
import type { Reach } from '../tenants/access.ts'
import { inReach } from '../tenants/reach.ts'
import { type Authorization, type AuthorizationInput, readAuthorization, shownAuthorization } from './authorization.ts'
import {
  type ClientCertificate,
  type ClientCertificateInput,
  readClientCertificate,
  shownCertificate,
} from './client-certificate.ts'
import { type GivenHeader, type Header, type HeaderInput, readHeaders, withKeptValues } from './headers.ts'
import { ifGiven } from './input.ts'

/** What is sent to an endpoint to prove who we are. In an update absent is unchanged, null is none. */
export type CredentialSettings = {
  headers?: Optional<readonly HeaderInput[]>
  credentials?: Optional<AuthorizationInput>
  clientCertificate?: Optional<ClientCertificateInput>
}

/** What of it may be seen. */
export type ShownCredentials = {
  id: EndpointId
  headerNames: string[]
  authorization: ShownAuthorization | null
  clientCertificate: ShownCertificate | null
}

/** In the clear, for whoever sends. */
export type EndpointCredentials = {
  headers: Header[]
  authorization: Authorization | null
  clientCertificate: (ClientCertificate & { fingerprint: string }) | null
}

export type SealedPart = { part: CredentialPart; sealed: Buffer }
type Owner = { tenantId: TenantId; endpointId: EndpointId }

/** What a row of `endpoint_credentials` is sealed with besides the master key: none of its parts opens in another's place. */
export function credentialContext({ tenantId, endpointId }: Owner, part: CredentialPart): string {
  return SEALED_COLUMNS.endpointCredentials.context([tenantId, endpointId, part])
}

export const NO_CREDENTIALS: EndpointCredentials = { headers: [], authorization: null, clientCertificate: null }

/** Opens what is stored of an endpoint. */
export function openCredentials(
  sealer: Pick<Sealer, 'open'>,
  owner: Owner,
  parts: readonly SealedPart[],
): EndpointCredentials {
  if (parts.length === 0) return NO_CREDENTIALS
  const open = (wanted: CredentialPart) => {
    const found = parts.find(({ part }) => part === wanted)
    return found === undefined ? null : sealer.open(found.sealed, credentialContext(owner, wanted))
  }
  const certificate = JSON.parse(open('CLIENT_CERTIFICATE') ?? 'null') as ClientCertificate | null
  return {
    headers: JSON.parse(open('HEADERS') ?? '[]') as Header[],
    authorization: JSON.parse(open('AUTHORIZATION') ?? 'null') as Authorization | null,
    clientCertificate: certificate && { ...certificate, fingerprint: fingerprintOf(certificate) },
  }
}

/** Another one whenever another key belongs to it; made of nothing secret. */
const fingerprintOf = ({ certificatePem, caPem }: ClientCertificate) =>
  createHash('sha256')
    .update(JSON.stringify([certificatePem, caPem]))
    .digest('base64url')

/** The endpoint whose credentials change, and where it pointed before; null for a new one. */
export type Place = { id: EndpointId; tenantId: TenantId; url: string; urlBefore: string | null }

/** Such settings, each well-formed by itself; what they do not mention is undefined. */
export type ReadCredentials = {
  headers: GivenHeader[] | undefined
  credentials: Optional<Authorization>
  clientCertificate: Optional<ClientCertificate>
}

/** Checks what can be checked without knowing the endpoint; of a new one, it has no values that could be kept. */
export function readCredentials(
  { headers, credentials, clientCertificate }: CredentialSettings,
  path: readonly string[],
  { urlRules, now, isNew }: { urlRules: UrlRules; now: Date; isNew: boolean },
): ReadCredentials {
  const at = (name: keyof CredentialSettings) => [...path, name]
  return readAll({
    headers: () =>
      ifGiven(headers, (list) => {
        const given = readHeaders(list ?? [], at('headers'))
        return isNew ? withKeptValues(given, at('headers'), []) : given
      }),
    credentials: () => ifGiven(credentials, (input) => input && readAuthorization(input, at('credentials'), urlRules)),
    clientCertificate: () =>
      ifGiven(clientCertificate, (input) => input && readClientCertificate(input, at('clientCertificate'), now)),
  })
}

/**
 * Checks against what the endpoint has, and stores, within the transaction that locks the endpoint; returns what the audit
 * log is told of it. Sealed values never follow a URL to another place unless they are given again: who may change the URL
 * could have them sent to himself otherwise, and nobody is shown them. Many servers give strangers a path each.
 */
export async function saveCredentials(
  orm: Pick<Orm, 'select' | 'insert' | 'delete'>,
  sealer: Pick<Sealer, 'seal' | 'open'>,
  place: Place,
  { headers, credentials, clientCertificate }: ReadCredentials,
  now: Date,
): Promise<Record<string, unknown>> {
  const owner = { tenantId: place.tenantId, endpointId: place.id }
  const stored = place.urlBefore === null ? [] : await storedParts(orm, place.id)
  const moves = place.urlBefore !== null && isElsewhere(place.urlBefore, place.url)
  const known = new Map(stored.map((each) => [each.part, each.shown]))
  const { list } = readAll({
    list: () => {
      if (headers === undefined && moves && known.has('HEADERS')) throw wouldFollow('headers')
      if (!headers?.some(([, value]) => value === null)) return headers as Header[] | undefined
      const kept = moves ? null : headersToKeep(sealer, owner, stored)
      return withKeptValues(headers, ['input', 'headers'], kept)
    },
    authorization: () => {
      if (credentials === undefined && moves && known.has('AUTHORIZATION')) throw wouldFollow('credentials')
    },
  })
  const changes = new Map<CredentialPart, { secret: unknown; shown: ShownPart } | null>()
  if (list) changes.set('HEADERS', list.length === 0 ? null : { secret: list, shown: list.map(([name]) => name) })
  if (credentials !== undefined) {
    changes.set('AUTHORIZATION', credentials && { secret: credentials, shown: shownAuthorization(credentials) })
  }
  if (clientCertificate !== undefined) {
    const shown = clientCertificate && shownCertificate(clientCertificate)
    changes.set('CLIENT_CERTIFICATE', shown && { secret: clientCertificate, shown })
  }
  const after = new Map([...known, ...[...changes].map(([part, change]) => [part, change?.shown] as const)])
  checkTogether(place.url, after, new Set(changes.keys()))
  for (const [part, change] of changes) await store(orm, sealer, owner, part, change, now)
  return detailsOf(known, changes)
}

/** What may be seen of these endpoints' credentials; those without any are missing. */
export async function findCredentials(orm: Orm, reach: Reach, ids: readonly EndpointId[]): Promise<ShownCredentials[]> {
  const { endpointId, tenantId, part, shown } = endpointCredentials
  const rows = await orm
    .select({ endpointId, part, shown })
    .from(endpointCredentials)
    .where(and(inReach(tenantId, reach), inArray(endpointId, [...ids])))
  return [...Map.groupBy(rows, (row) => row.endpointId)].map(([id, parts]) => {
    const shownOf = (wanted: CredentialPart) => parts.find((each) => each.part === wanted)?.shown ?? null
    return {
      id,
      headerNames: (shownOf('HEADERS') as string[] | null) ?? [],
      authorization: shownOf('AUTHORIZATION') as ShownAuthorization | null,
      clientCertificate: shownOf('CLIENT_CERTIFICATE') as ShownCertificate | null,
    }
  })
}

type StoredPart = SealedPart & { shown: ShownPart }

async function storedParts(orm: Pick<Orm, 'select'>, id: EndpointId): Promise<StoredPart[]> {
  const { endpointId, part, shown, sealed } = endpointCredentials
  return orm.select({ part, shown, sealed }).from(endpointCredentials).where(eq(endpointId, id))
}

/** None where they open no more: they can be given anew then, which is the way out. */
function headersToKeep(sealer: Pick<Sealer, 'open'>, owner: Owner, stored: readonly SealedPart[]): Header[] {
  try {
    return openCredentials(
      sealer,
      owner,
      stored.filter(({ part }) => part === 'HEADERS'),
    ).headers
  } catch (error) {
    if (error instanceof SealError) return []
    throw error
  }
}

/** Whether another place is meant. The same one by https instead of http is not. */
function isElsewhere(before: string, after: string): boolean {
  const same = [before, before.replace(/^http:/, 'https:')].map((url) => new URL(url).href)
  return !same.includes(new URL(after).href)
}

/** What cannot stand beside each other, told where the call has brought it about. */
function checkTogether(
  url: string,
  parts: ReadonlyMap<CredentialPart, ShownPart | undefined>,
  mentioned: ReadonlySet<CredentialPart>,
): void {
  const names = (parts.get('HEADERS') as string[] | undefined) ?? []
  const index = names.findIndex((name) => name.toLowerCase() === 'authorization')
  if (index !== -1 && parts.get('AUTHORIZATION') !== undefined) {
    const path = mentioned.has('HEADERS') ? ['input', 'headers', String(index), 'name'] : ['input', 'credentials']
    throw wrong(path, 'The credentials make the header "authorization": have either them or a header of that name.')
  }
  if (parts.get('CLIENT_CERTIFICATE') === undefined || url.startsWith('https:')) return
  const path = mentioned.has('CLIENT_CERTIFICATE') ? ['input', 'clientCertificate'] : ['input', 'url']
  throw wrong(path, 'A client certificate is shown over https only, and the URL of the endpoint begins with "http:".')
}

async function store(
  orm: Pick<Orm, 'insert' | 'delete'>,
  sealer: Pick<Sealer, 'seal'>,
  owner: Owner,
  part: CredentialPart,
  change: { secret: unknown; shown: ShownPart } | null,
  now: Date,
): Promise<void> {
  const { endpointId } = endpointCredentials
  if (change === null) {
    await orm
      .delete(endpointCredentials)
      .where(and(eq(endpointId, owner.endpointId), eq(endpointCredentials.part, part)))
    return
  }
  const sealed = sealer.seal(JSON.stringify(change.secret), credentialContext(owner, part))
  const set = { shown: change.shown, sealed, updatedAt: now }
  await orm
    .insert(endpointCredentials)
    .values({ ...owner, part, ...set })
    .onConflictDoUpdate({ target: [endpointId, endpointCredentials.part], set })
}

const NAMES = { HEADERS: 'headers', AUTHORIZATION: 'credentials', CLIENT_CERTIFICATE: 'clientCertificate' } as const

/** Also where it looks the same as before: its secret may be another one. */
function detailsOf(
  known: ReadonlyMap<CredentialPart, ShownPart>,
  changes: ReadonlyMap<CredentialPart, { shown: ShownPart } | null>,
): Record<string, unknown> {
  const told = [...changes].flatMap(([part, change]) => {
    const [from, to] = [known.get(part) ?? null, change?.shown ?? null]
    return from === null && to === null ? [] : [[NAMES[part], { from, to }]]
  })
  return Object.fromEntries(told)
}

function wouldFollow(field: 'headers' | 'credentials'): Mistake {
  const what = field === 'headers' ? 'the values of its headers' : 'its credentials'
  const message = `The URL changes, and ${what} are not sent to another place unasked: give \`${field}\` again in the same call, or null for none.`
  return wrong(['input', field], message)
}
