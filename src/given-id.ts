import { type Prefix, prefixOf } from '../schema/ids.ts'

/** What a text that names nothing is answered with. Pure: the same words wherever an id is taken. */

const MOST_CHARACTERS = 8

/** A text as an error may repeat it: no further than a hint goes, for somebody may have taken a secret for an id. */
export function quoteGiven(text: string): string {
  return JSON.stringify(text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text)
}

/** Why a text is no id of this kind, and where to find the right one. */
export function notAnId(prefix: Prefix, text: string): string {
  return `${quoteGiven(text)} is not an id of the form ${prefix}_ and 26 characters.${adviceOn(prefix, text)}`
}

/** Where the id of an API key or portal session is whose text was given in its place; empty for any other text. */
export function adviceOnCredential(text: string): string {
  if (text.startsWith('prk_')) return ' This is the key itself; its id is in `apiKeys` (compare `hint`).'
  return text.startsWith('prs_') ? ' This is the token itself; its id is in `portalSessions` (compare `name`).' : ''
}

function adviceOn(prefix: Prefix, text: string): string {
  const advice = adviceOnCredential(text)
  if (advice !== '' || prefix !== 'ten' || prefixOf(text) !== null) return advice
  return ' If that is the key of a tenant, ask for its id: { tenant(key: "acme") { id } }.'
}
