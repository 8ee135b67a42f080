import { Buffer } from 'node:buffer'
import type { EndpointCredentials } from '../endpoints/credentials.ts'
import { type Header, MASK } from '../endpoints/headers.ts'

/** What is sent to prove who we are; `accessToken` is that of OAuth 2.0, where the credentials ask for one. */
export function proofHeaders(
  { headers, authorization }: Pick<EndpointCredentials, 'headers' | 'authorization'>,
  accessToken: string | null,
): Header[] {
  if (authorization === null) return headers
  return [['authorization', authorizationOf(authorization, accessToken)], ...headers]
}

/** The same as it is recorded: which headers there were, and of an authorization which kind. */
export function maskedProof({
  headers,
  authorization,
}: Pick<EndpointCredentials, 'headers' | 'authorization'>): Header[] {
  const masked = headers.map(([name]): Header => [name, MASK])
  if (authorization === null) return masked
  return [['authorization', `${'basic' in authorization ? 'Basic' : 'Bearer'} ${MASK}`], ...masked]
}

function authorizationOf(
  authorization: NonNullable<EndpointCredentials['authorization']>,
  accessToken: string | null,
): string {
  if ('bearer' in authorization) return `Bearer ${authorization.bearer.token}`
  if ('oauth2ClientCredentials' in authorization) return `Bearer ${accessToken}`
  // RFC 7617, section 2, in UTF-8.
  const { username, password } = authorization.basic
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
