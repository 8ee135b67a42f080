import { and, eq } from 'drizzle-orm'
import { publicId } from '../../schema/ids.ts'
import { SIGNATURE_SCHEMES, type SignatureScheme } from '../../schema/states.ts'
import { endpointCredentials } from '../../schema/tables/endpoint-credentials.ts'
import type { StoredSignature } from '../../schema/tables/endpoints.ts'
import { type Optional, wrong } from '../input.ts'
import { readEach } from '../mistake.ts'
import type { Orm } from '../postgres/client.ts'
import type { Sealer } from '../sealing/sealer.ts'
import type { Endpoint } from './find.ts'
import { checkHeaderName } from './headers.ts'
import { eraseSigningKeys, makeSigningKeys } from './signing-keys.ts'

/** How requests are signed. In an update absent is unchanged, null back to the default; the same holds for each of its fields. */
export type SigningInput = {
  standard?: Optional<boolean>
  ed25519?: Optional<boolean>
  also?: Optional<readonly SignatureInput[]>
}

export type SignatureInput = { scheme: SignatureScheme; header?: Optional<string> }

export type SigningColumns = { signsStandard: boolean; signsEd25519: boolean; alsoSigns: StoredSignature[] | null }

export const DEFAULT_SIGNATURE_HEADER = 'X-Webhook-Signature'
/** Each is one more signature in every request. */
export const MOST_SIGNATURES = 4

/** The columns that an input speaks of; undefined where it does not. */
export function readSigning(
  input: Optional<SigningInput>,
  path: readonly string[],
): { [Name in keyof SigningColumns]: SigningColumns[Name] | undefined } {
  const { standard, ed25519, also } = input === null ? { standard: null, ed25519: null, also: null } : (input ?? {})
  return {
    signsStandard: standard === undefined ? undefined : (standard ?? true),
    signsEd25519: ed25519 === undefined ? undefined : (ed25519 ?? false),
    alsoSigns: also === undefined ? undefined : readSignatures(also ?? [], [...path, 'also']),
  }
}

function readSignatures(also: readonly SignatureInput[], path: readonly string[]): StoredSignature[] | null {
  if (also.length > MOST_SIGNATURES) {
    throw wrong(path, `At most ${MOST_SIGNATURES} such signatures are possible; these are ${also.length}.`)
  }
  const seen = new Set<string>()
  const read = readEach(also, ({ scheme, header: given }, index) => {
    const header = given ?? DEFAULT_SIGNATURE_HEADER
    const at = [...path, String(index), 'header']
    const name = checkHeaderName(header, at)
    if (name === 'authorization') throw wrong(at, 'The header "authorization" is for credentials, not for signatures.')
    if (seen.has(name)) throw wrong(at, `Two signatures in one header ${JSON.stringify(header)}: name another one.`)
    seen.add(name)
    return { scheme, header }
  })
  return read.length === 0 ? null : read
}

/**
 * Checks how an endpoint is signed now, within the transaction that locks it, and makes or erases its key pairs; returns what the
 * audit log is told of it. `path`: of the input; `before` is null for a new endpoint.
 */
export async function saveSigning(
  orm: Pick<Orm, 'select' | 'insert' | 'delete'>,
  sealer: Pick<Sealer, 'seal'>,
  { before, after }: { before: Endpoint | null; after: Endpoint },
  now: Date,
): Promise<Record<string, unknown>> {
  const { id, tenantId, signsStandard, signsEd25519, alsoSigns } = after
  if (!signsStandard && !signsEd25519 && alsoSigns === null) {
    const message = `Without any signature receivers cannot tell your requests from forged ones: with \`standard: false\` give \`ed25519: true\`, or in \`also\` at least one of ${SIGNATURE_SCHEMES.join(', ')}.`
    throw wrong(['input', 'signing', 'standard'], message)
  }
  if (alsoSigns !== null) await refuseSameHeader(orm, after)
  if (signsEd25519 === (before?.signsEd25519 ?? false)) return {}
  const owner = { tenantId, endpointId: id }
  if (signsEd25519) return { signingKey: publicId('sik', await makeSigningKeys(orm, sealer, owner, now)) }
  await eraseSigningKeys(orm, owner)
  return {}
}

/** Two headers of one name would be read as one, or the wrong one. */
async function refuseSameHeader(orm: Pick<Orm, 'select'>, { id, alsoSigns }: Endpoint): Promise<void> {
  const { endpointId, part, shown } = endpointCredentials
  const [row] = await orm
    .select({ shown })
    .from(endpointCredentials)
    .where(and(eq(endpointId, id), eq(part, 'HEADERS')))
  const names = ((row?.shown ?? []) as string[]).map((name) => name.toLowerCase())
  const same = alsoSigns?.find(({ header }) => names.includes(header.toLowerCase()))
  if (same === undefined) return
  const message = `The endpoint has a custom header ${JSON.stringify(same.header)} as well: let the signature stand in another one.`
  throw wrong(['input', 'signing', 'also'], message)
}
