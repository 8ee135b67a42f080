/** The closed sets of the domain. Stored as text with CHECK constraints; in GraphQL they are enums of the same spelling. */

export const DELIVERY_STATES = ['PENDING', 'DELIVERED', 'FAILED', 'CANCELLED'] as const
export type DeliveryState = (typeof DELIVERY_STATES)[number]

/** Why a delivery failed for good: its schedule was over, or what it would have sent was about to be dropped. */
export const FAILED_REASONS = ['EXHAUSTED', 'EXPIRED'] as const
export type FailedReason = (typeof FAILED_REASONS)[number]

/**
 * Why a delivery without a ticket waits, as stored: for room at its endpoint, in the line of what was asked for by hand
 * (REQUESTED), of first attempts (ALLOWANCE), of retries that are due (RETRY_ALLOWANCE) or of what a replay sends again
 * (REPLAY); for its time; or for the one before it in its lane. PAUSED and DISABLED are
 * its endpoint's state, seen when read.
 */
export const STORED_WAITS = ['REQUESTED', 'ALLOWANCE', 'RETRY_ALLOWANCE', 'REPLAY', 'RETRY', 'ORDER'] as const
export type StoredWait = (typeof STORED_WAITS)[number]
/** The lines for room, in the order in which they are served. */
export const LINES = ['REQUESTED', 'ALLOWANCE', 'RETRY_ALLOWANCE', 'REPLAY'] as const satisfies StoredWait[]
export type Line = (typeof LINES)[number]

export const DELIVERY_WAITS = ['ALLOWANCE', 'RETRY', 'ORDER', 'PAUSED', 'DISABLED'] as const
export type DeliveryWait = (typeof DELIVERY_WAITS)[number]

export const ATTEMPT_TRIGGERS = ['SCHEDULE', 'MANUAL', 'REPLAY', 'TEST'] as const
export type AttemptTrigger = (typeof ATTEMPT_TRIGGERS)[number]

export const REPLAY_STATES = ['RUNNING', 'COMPLETED', 'CANCELLED', 'FAILED'] as const
export type ReplayState = (typeof REPLAY_STATES)[number]

/** Why a replay could not be finished. */
export const REPLAY_FAILURES = ['ENDPOINT_DELETED'] as const
export type ReplayFailure = (typeof REPLAY_FAILURES)[number]

export const ENDPOINT_STATES = ['ACTIVE', 'PAUSED', 'DISABLED'] as const
export type EndpointState = (typeof ENDPOINT_STATES)[number]

/** Why Postrider itself stopped sending to an endpoint. */
export const DISABLED_REASONS = ['GONE', 'FAILING'] as const
export type DisabledReason = (typeof DISABLED_REASONS)[number]

export const ENDPOINT_HEALTHS = ['HEALTHY', 'FAILING'] as const
export type EndpointHealth = (typeof ENDPOINT_HEALTHS)[number]

/** Why an endpoint is given fewer requests at a time than its `maxInFlight`. */
export const ALLOWANCE_REASONS = ['PUSHBACK', 'FAILING', 'SLOW'] as const
export type AllowanceReason = (typeof ALLOWANCE_REASONS)[number]

export const ORDERINGS = ['NONE', 'PER_ENDPOINT', 'PER_KEY'] as const
export type Ordering = (typeof ORDERINGS)[number]

/** What a lane does behind a delivery that has failed for good. */
export const ON_BLOCKED = ['WAIT', 'SKIP_AFTER_FAILED'] as const
export type OnBlocked = (typeof ON_BLOCKED)[number]

export const HTTP_METHODS = ['POST', 'PUT', 'PATCH'] as const
export type HttpMethod = (typeof HTTP_METHODS)[number]

/** How a request's body is made of an event. */
export const PAYLOAD_FORMATS = [
  'ENVELOPE',
  'RAW',
  'THIN',
  'CLOUDEVENTS_STRUCTURED',
  'CLOUDEVENTS_BINARY',
  'FORM',
  'XML',
] as const
export type PayloadFormat = (typeof PAYLOAD_FORMATS)[number]

/** Signatures that receivers of other senders verify already. */
export const SIGNATURE_SCHEMES = ['TIMESTAMPED_HEX', 'BODY_HEX'] as const
export type SignatureScheme = (typeof SIGNATURE_SCHEMES)[number]

/** Whether a signing key is published only, signs, or signs for the overlap of a rotation. */
export const SIGNING_KEY_STATES = ['NEXT', 'CURRENT', 'ENDING'] as const
export type SigningKeyState = (typeof SIGNING_KEY_STATES)[number]

/** What becomes of an event whose payload does not satisfy the schema of its type. */
export const VALIDATIONS = ['OFF', 'WARN', 'REJECT'] as const
export type Validation = (typeof VALIDATIONS)[number]

/** What of an endpoint is sealed besides its signing secrets: each a row of its own. */
export const CREDENTIAL_PARTS = ['HEADERS', 'AUTHORIZATION', 'CLIENT_CERTIFICATE'] as const
export type CredentialPart = (typeof CREDENTIAL_PARTS)[number]

export const CREDENTIALS_KINDS = ['BASIC', 'BEARER', 'OAUTH2_CLIENT_CREDENTIALS'] as const
export type CredentialsKind = (typeof CREDENTIALS_KINDS)[number]

/** How a client shows its secret to a token endpoint (RFC 6749, section 2.3.1). */
export const OAUTH2_AUTHENTICATIONS = ['HEADER', 'BODY'] as const
export type OAuth2Authentication = (typeof OAUTH2_AUTHENTICATIONS)[number]

export const SCOPES = ['PUBLISH', 'READ', 'MANAGE', 'ADMIN'] as const
export type Scope = (typeof SCOPES)[number]
/** What a portal session may be made for. */
export const PORTAL_SCOPES = ['READ', 'MANAGE'] as const satisfies Scope[]
export type PortalScope = (typeof PORTAL_SCOPES)[number]

/** Whether an API key or portal session opens anything, and if not, why. */
export const CREDENTIAL_STATES = ['ACTIVE', 'EXPIRED', 'REVOKED'] as const
export type CredentialState = (typeof CREDENTIAL_STATES)[number]

/** Who changes something: a caller, or Postrider and its commands. */
export const ACTOR_KINDS = ['API_KEY', 'PORTAL_SESSION', 'SYSTEM'] as const
export type ActorKind = (typeof ACTOR_KINDS)[number]

/** What leaves an entry in the audit log, named after the mutation or command that does it. Publishing does not: the event is its own record. */
export const AUDIT_ACTIONS = [
  'TENANT_CREATE',
  'TENANT_UPDATE',
  'TENANT_DELETE',
  'API_KEY_CREATE',
  'API_KEY_REVOKE',
  'PORTAL_SESSION_CREATE',
  'PORTAL_SESSION_REVOKE',
  'ENDPOINT_CREATE',
  'ENDPOINT_UPDATE',
  'ENDPOINT_PAUSE',
  'ENDPOINT_RESUME',
  'ENDPOINT_TEST',
  'ENDPOINT_DELETE',
  'ENDPOINT_ROTATE_SECRET',
  'ENDPOINT_REVEAL_SECRET',
  'DELIVERY_RETRY',
  'DELIVERY_CANCEL',
  'REPLAY_START',
  'REPLAY_CANCEL',
  'EVENT_EXPUNGE',
  'EVENT_ROUTE',
  'EVENT_TYPE_SAVE',
  'EVENT_TYPE_ARCHIVE',
  'EVENT_TYPES_IMPORT',
  'KEYS_ROTATE',
] as const
export type AuditAction = (typeof AUDIT_ACTIONS)[number]
