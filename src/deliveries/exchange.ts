import { type Egress, type EgressFailure, type EgressResult, notSent, type TlsIdentity } from '../egress/request.ts'
import type { Header } from '../endpoints/headers.ts'
import type { AccessTokens } from './access-tokens.ts'
import { maskedProof, proofHeaders } from './authorization-header.ts'
import { secretsIn, withoutEchoes } from './echoes.ts'
import type { Prepared } from './prepare.ts'

export type ExchangeContext = { egress: Egress; tokens: AccessTokens }

/** What came of a request, and its headers as they are recorded: nothing in it is secret. */
export type Exchanged = { result: EgressResult; headers: Header[] }

// Of an attempt's time, what its token may take; the rest is the receiver's.
const TOKEN_SHARE = 0.75

/** Sends an attempt's request with what its endpoint is to be shown, within the endpoint's timeout. */
export async function exchange(
  { egress, tokens }: ExchangeContext,
  { delivery, endpoint, body }: Prepared,
  own: Header[],
): Promise<Exchanged> {
  const { url, method, timeoutSeconds, credentials } = endpoint
  const startedAt = performance.now()
  const elapsedMs = () => performance.now() - startedAt
  const leftMs = () => timeoutSeconds * 1000 - elapsedMs()
  const identity = identityOf(endpoint, delivery.endpointId)
  const headers = [...own, ...maskedProof(credentials)]
  const send = async (token: string | null) => {
    const proof = proofHeaders(credentials, token)
    const result = await egress.send({ url, method, headers: [...own, ...proof], body, deadlineMs: leftMs(), identity })
    return proof.length === 0 ? result : withoutEchoes(result, [...secretsIn(credentials), ...(token ? [token] : [])])
  }
  const { authorization } = credentials
  if (authorization === null || !('oauth2ClientCredentials' in authorization)) {
    return { result: await send(null), headers }
  }
  const getToken = (refused?: string) =>
    tokens.get(delivery.endpointId, authorization.oauth2ClientCredentials, leftMs() * TOKEN_SHARE, refused)
  const conclude = (result: EgressResult) => ({ result: lasting(result, elapsedMs()), headers })

  const access = await getToken()
  if ('failure' in access) return conclude(notSent(access.failure))
  const result = await send(access.token)
  if (result.status !== 401) return conclude(result)
  // Revoked before its time, or by a restart of the authorization server. Once: a second 401 is the receiver's last word.
  const renewed = await getToken(access.token)
  if ('failure' in renewed) return conclude(notSent(afterRefusal(renewed.failure)))
  return conclude(renewed.token === access.token || leftMs() <= 0 ? result : await send(renewed.token))
}

function identityOf(
  { url, credentials: { clientCertificate } }: Prepared['endpoint'],
  endpointId: string,
): TlsIdentity | null {
  if (clientCertificate === null || !url.startsWith('https:')) return null
  const { fingerprint, ...pems } = clientCertificate
  return { key: `${endpointId} ${fingerprint}`, ...pems }
}

function afterRefusal({ errorClass, message }: EgressFailure): EgressFailure {
  return { errorClass, message: `The endpoint answered 401 to its access token, and there is no new one. ${message}` }
}

/** With its token, and what was sent twice, an attempt takes longer than its last request. */
function lasting(result: EgressResult, totalMs: number): EgressResult {
  return { ...result, timings: { ...result.timings, totalMs } }
}
