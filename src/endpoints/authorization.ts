import type { OAuth2Authentication } from '../../schema/states.ts'
import type { ShownAuthorization } from '../../schema/tables/endpoint-credentials.ts'
import { checkUrl, type UrlRules } from '../egress/url-rules.ts'
import { type Optional, readText, wrong } from '../input.ts'
import { readAll, readEach } from '../mistake.ts'
import { MASK } from './headers.ts'

/** A client of an OAuth 2.0 authorization server (RFC 6749, section 4.4). */
export type OAuth2Client = {
  tokenUrl: string
  clientId: string
  clientSecret: string
  scopes: string[]
  audience: string | null
  authentication: OAuth2Authentication
}

/** What the header `authorization` is made of. */
export type Authorization =
  | { basic: { username: string; password: string } }
  | { bearer: { token: string } }
  | { oauth2ClientCredentials: OAuth2Client }

/** The same as a caller gives it: exactly one of its fields. */
export type AuthorizationInput = {
  basic?: Optional<{ username: string; password: string }>
  bearer?: Optional<{ token: string }>
  oauth2ClientCredentials?: Optional<{
    tokenUrl: string
    clientId: string
    clientSecret: string
    scopes?: Optional<readonly string[]>
    audience?: Optional<string>
    authentication?: Optional<OAuth2Authentication>
  }>
}

const LONGEST = 4096
const LONGEST_NAME = 1024
const MOST_SCOPES = 50
// RFC 7617, section 2.
const NO_CONTROLS = { without: /\p{Cc}/u, inWords: 'control characters' }
const USERNAME = { what: 'A user name', most: LONGEST_NAME, ...NO_CONTROLS }
const PASSWORD = { what: 'A password', most: LONGEST, ...NO_CONTROLS }

/** What a caller wants, checked. Mistakes name the field, never what stands in it. */
export function readAuthorization(
  { basic, bearer, oauth2ClientCredentials }: AuthorizationInput,
  path: readonly string[],
  rules: UrlRules,
): Authorization {
  if (basic) return { basic: readBasic(basic, [...path, 'basic']) }
  if (bearer) return { bearer: { token: readToken(bearer.token, [...path, 'bearer', 'token']) } }
  if (oauth2ClientCredentials) {
    const at = [...path, 'oauth2ClientCredentials']
    return { oauth2ClientCredentials: readClient(oauth2ClientCredentials, at, rules) }
  }
  throw wrong(path, 'Give exactly one of `basic`, `bearer` and `oauth2ClientCredentials`.')
}

/** What of it may be seen. */
export function shownAuthorization(authorization: Authorization): ShownAuthorization {
  if ('basic' in authorization) return { kind: 'BASIC', username: authorization.basic.username }
  if ('bearer' in authorization) return { kind: 'BEARER' }
  const { clientSecret: _, ...shown } = authorization.oauth2ClientCredentials
  return { kind: 'OAUTH2_CLIENT_CREDENTIALS', ...shown }
}

function readBasic({ username, password }: { username: string; password: string }, path: readonly string[]) {
  if (username === '' && password === '') throw wrong(path, 'User name and password cannot both be empty.')
  return readAll({
    username: () => readUsername(username, [...path, 'username']),
    password: () => readText(notMask(password, [...path, 'password']), [...path, 'password'], PASSWORD),
  })
}

/** RFC 7617, section 2: the first colon ends the user name. */
function readUsername(username: string, path: readonly string[]): string {
  if (username.includes(':')) throw wrong(path, 'A user name holds no colon: the password begins there.')
  return readText(username, path, USERNAME)
}

/** A form that was filled with stars would have them sent in the place of the secret. */
function notMask(secret: string, path: readonly string[]): string {
  if (secret !== MASK) return secret
  const message = `${MASK} is what is shown in its place: give it again, or leave \`credentials\` out to keep them.`
  throw wrong(path, message)
}

function readToken(token: string, path: readonly string[]): string {
  if (/^[\x21-\x7e]{1,4096}$/.test(token)) return notMask(token, path)
  throw wrong(path, `A token is 1 to ${LONGEST} visible ASCII characters without spaces; give it without "Bearer".`)
}

function readClient(
  input: NonNullable<AuthorizationInput['oauth2ClientCredentials']>,
  path: readonly string[],
  rules: UrlRules,
): OAuth2Client {
  const { tokenUrl, clientId, clientSecret, scopes, audience, authentication } = input
  const at = (name: keyof OAuth2Client) => [...path, name]
  const secretAt = at('clientSecret')
  return readAll({
    tokenUrl: () => checkUrl(tokenUrl, at('tokenUrl'), rules),
    clientId: () => readVisible(clientId, LONGEST_NAME, at('clientId'), 'A client id'),
    clientSecret: () => readVisible(notMask(clientSecret, secretAt), LONGEST, secretAt, 'A client secret'),
    scopes: () => readScopes(scopes ?? [], at('scopes')),
    audience: () => {
      if (audience === null || audience === undefined) return null
      return readVisible(audience, LONGEST_NAME, at('audience'), 'An audience')
    },
    authentication: () => authentication ?? 'HEADER',
  })
}

/** RFC 6749, appendix A.1 and A.2: *VSCHAR, of which nothing would identify nobody. */
function readVisible(text: string, longest: number, path: readonly string[], what: string): string {
  if (/^[\x20-\x7e]+$/.test(text) && text.length <= longest) return text
  throw wrong(path, `${what} is 1 to ${longest} characters of printable ASCII.`)
}

function readScopes(scopes: readonly string[], path: readonly string[]): string[] {
  if (scopes.length > MOST_SCOPES) throw wrong(path, `At most ${MOST_SCOPES} scopes can be asked for.`)
  return readEach(scopes, (scope, index) => {
    // RFC 6749, section 3.3.
    if (/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/.test(scope)) return scope
    throw wrong(
      [...path, String(index)],
      'A scope is 1 to 256 visible ASCII characters without quotes and backslashes.',
    )
  })
}
