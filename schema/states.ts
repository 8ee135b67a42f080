/** The closed sets of the domain. Stored as text with CHECK constraints; in GraphQL they are enums of the same spelling. */

export const DELIVERY_STATES = ['PENDING', 'DELIVERED', 'FAILED', 'CANCELLED'] as const
export type DeliveryState = (typeof DELIVERY_STATES)[number]

/** Why a delivery without a ticket waits, as stored. PAUSED and DISABLED are its endpoint's state, seen when read. */
export const STORED_WAITS = ['ALLOWANCE', 'RETRY'] as const
export type StoredWait = (typeof STORED_WAITS)[number]

export const DELIVERY_WAITS = [...STORED_WAITS, 'PAUSED', 'DISABLED'] as const
export type DeliveryWait = (typeof DELIVERY_WAITS)[number]

export const ATTEMPT_TRIGGERS = ['SCHEDULE', 'MANUAL', 'TEST'] as const
export type AttemptTrigger = (typeof ATTEMPT_TRIGGERS)[number]

export const ENDPOINT_STATES = ['ACTIVE', 'PAUSED', 'DISABLED'] as const
export type EndpointState = (typeof ENDPOINT_STATES)[number]

/** Why Postrider itself stopped sending to an endpoint. */
export const DISABLED_REASONS = ['GONE'] as const
export type DisabledReason = (typeof DISABLED_REASONS)[number]

export const HTTP_METHODS = ['POST', 'PUT', 'PATCH'] as const
export type HttpMethod = (typeof HTTP_METHODS)[number]

export const SCOPES = ['PUBLISH', 'READ', 'MANAGE', 'ADMIN'] as const
export type Scope = (typeof SCOPES)[number]
