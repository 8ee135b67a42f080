import { sql } from 'drizzle-orm'
import { check, index, jsonb, primaryKey, text } from 'drizzle-orm/pg-core'
import { CREDENTIAL_PARTS, type CredentialPart, type OAuth2Authentication } from '../states.ts'
import { endpoints } from './endpoints.ts'
import { bytes, id, moment, oneOf, postrider } from './postrider.ts'

/** What may be seen of an `authorization`: all but the secrets. */
export type ShownAuthorization =
  | { kind: 'BASIC'; username: string }
  | { kind: 'BEARER' }
  | {
      kind: 'OAUTH2_CLIENT_CREDENTIALS'
      tokenUrl: string
      clientId: string
      scopes: string[]
      audience: string | null
      authentication: OAuth2Authentication
    }

/** What may be seen of a client certificate: all but its key. Moments in ISO 8601. */
export type ShownCertificate = {
  subject: string
  issuer: string
  serialNumber: string
  validFrom: string
  validTo: string
  /** SHA-256 of the certificate, `AB:CD:…`. */
  fingerprint: string
  /** The subjects of the authorities that the server's certificate must come from; empty: the public ones. */
  authorities: string[]
}

/** Of HEADERS the names. */
export type ShownPart = string[] | ShownAuthorization | ShownCertificate

/**
 * What is sent to an endpoint to prove who we are, sealed. What is sent is read from `sealed` alone; `shown` is for people.
 * Erased when the endpoint is deleted.
 */
export const endpointCredentials = postrider.table(
  'endpoint_credentials',
  {
    endpointId: id<'ep'>('endpoint_id')
      .notNull()
      .references(() => endpoints.id),
    tenantId: id<'ten'>('tenant_id').notNull(),
    part: text('part').$type<CredentialPart>().notNull(),
    shown: jsonb('shown').$type<ShownPart>().notNull(),
    sealed: bytes('sealed').notNull(),
    updatedAt: moment('updated_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.endpointId, table.part] }),
    // The id of the key it is sealed with, for whoever asks which are still needed.
    index('endpoint_credentials_of_master_key').on(sql`substr(${table.sealed}, 2, 8)`),
    check('endpoint_credentials_part', oneOf(table.part, CREDENTIAL_PARTS)),
  ],
)
