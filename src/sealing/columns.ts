/** A column whose values are sealed, and where each of them belongs. */
export type SealedColumn = {
  /** In the schema `postrider`. */
  table: string
  /** Of the type bytea. */
  column: string
  /** One of its values, for people. */
  what: string
  /** The columns of the same row that say where the value belongs. */
  place: readonly string[]
  /** What the value is sealed with besides the key, from the texts in `place`. */
  context(place: readonly string[]): string
}

/**
 * Everything in the database that is sealed: what a start asks the keys for, and what a rotation of the master keys seals anew.
 * A column that is missing here would be lost with the first key that is taken away.
 */
export const SEALED_COLUMNS = {
  secrets: {
    table: 'secrets',
    column: 'sealed',
    what: 'signing secret',
    place: ['tenant_id', 'endpoint_id'],
    context: ([tenantId, endpointId]) => `${tenantId}/${endpointId}`,
  },
  endpointCredentials: {
    table: 'endpoint_credentials',
    column: 'sealed',
    what: 'endpoint credential',
    place: ['tenant_id', 'endpoint_id', 'part'],
    context: ([tenantId, endpointId, part]) => `${part}:${tenantId}/${endpointId}`,
  },
  signingKeys: {
    table: 'signing_keys',
    column: 'sealed',
    what: 'signing key',
    place: ['tenant_id', 'endpoint_id'],
    context: ([tenantId, endpointId]) => `ed25519:${tenantId}/${endpointId}`,
  },
} as const satisfies Record<string, SealedColumn>

/** All of them, without their names. */
export const sealedColumns = (): SealedColumn[] => Object.values(SEALED_COLUMNS)

/** Those that belong to an endpoint, and go with it. */
export const sealedOfEndpoints = (): SealedColumn[] =>
  sealedColumns().filter(({ place }) => place.includes('endpoint_id'))
