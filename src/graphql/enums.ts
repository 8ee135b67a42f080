import { ERROR_CODES } from '../../schema/error-codes.ts'
import type { AttemptErrorClass } from '../../schema/outcomes.ts'
import type {
  ActorKind,
  AllowanceReason,
  AttemptTrigger,
  AuditAction,
  CredentialsKind,
  DeliveryState,
  DeliveryWait,
  DisabledReason,
  EndpointHealth,
  EndpointState,
  FailedReason,
  HttpMethod,
  OAuth2Authentication,
  OnBlocked,
  Ordering,
  PayloadFormat,
  ReplayFailure,
  ReplayState,
  Scope,
  SignatureScheme,
  SigningKeyState,
} from '../../schema/states.ts'
import type { Refusal } from '../endpoints/decide.ts'
import type { SkipReason } from '../replays/count.ts'
import type { ReplayWarning } from '../replays/preview.ts'
import { builder } from './builder.ts'

/** The record type makes a value without a description impossible. */
/** An enum whose every value is described. */
export function enumType<Value extends string>(name: string, description: string, descriptions: Record<Value, string>) {
  const values = Object.fromEntries(
    Object.entries<string>(descriptions).map(([value, text]) => [value, { description: text }]),
  ) as Record<Value, { description: string }>
  return builder.enumType(name, { description, values })
}

export const ErrorCodeEnum = enumType('ErrorCode', 'What can be wrong with a call, for programs.', ERROR_CODES)

export const ScopeEnum = enumType<Scope>('Scope', 'What a credential may do.', {
  PUBLISH: 'Publish events.',
  READ: 'Read endpoints, events, deliveries and attempts, and follow the live feed.',
  MANAGE: 'Create and change endpoints, retry, cancel and replay deliveries. Includes READ.',
  ADMIN:
    'Everything in its tenant, with the other scopes: its API keys and portal sessions, too. An instance-wide key: in all tenants, the tenants themselves, and the catalogue of event types.',
})

export const CredentialsKindEnum = enumType<CredentialsKind>(
  'EndpointCredentialsKind',
  'What the header `authorization` is made of.',
  {
    BASIC: 'User name and password.',
    BEARER: 'A token that is always the same.',
    OAUTH2_CLIENT_CREDENTIALS: 'Access tokens from an OAuth 2.0 authorization server.',
  },
)

export const OAuth2AuthenticationEnum = enumType<OAuth2Authentication>(
  'OAuth2Authentication',
  'How client id and secret are sent to a token URL (RFC 6749, section 2.3.1).',
  {
    HEADER: 'In the header `authorization`, as HTTP Basic. Every server that follows the RFC takes it.',
    BODY: 'In the body, as `client_id` and `client_secret`: for servers that take nothing else.',
  },
)

export const PayloadFormatEnum = enumType<PayloadFormat>(
  'PayloadFormat',
  'How the body of a request is made of an event.',
  {
    ENVELOPE:
      '`{"id","type","version","created_at","data"}` as `application/json`; `data` has the payload’s own bytes.',
    RAW: 'The payload’s own bytes and nothing else, as `application/json`. Id and type are in the headers.',
    THIN: 'The envelope without `data`: the receiver fetches the event through the API.',
    CLOUDEVENTS_STRUCTURED:
      'CloudEvents 1.0 as one JSON object, `application/cloudevents+json`; `source` is `/tenants/` and the tenant’s key.',
    CLOUDEVENTS_BINARY:
      'CloudEvents 1.0 with its attributes in `ce-` headers; the body has the payload’s own bytes, as `application/json`.',
    FORM: '`payload=` and the envelope, as `application/x-www-form-urlencoded`.',
    XML: 'The envelope as elements, `application/xml`, with the payload in the form of the W3C’s `json-to-xml`.',
  },
)

export const SignatureSchemeEnum = enumType<SignatureScheme>(
  'SignatureScheme',
  'Signatures that receivers of other senders verify already. Both use HMAC-SHA256 with the whole text of the secret, `whsec_…`, as the key.',
  {
    TIMESTAMPED_HEX: '`t=<Unix seconds>,v1=<hex of "{t}.{body}">`, with one `v1=` for each secret that signs.',
    BODY_HEX:
      '`sha256=<hex of the body>`. There is room for one signature: after a rotation the oldest secret’s, as long as that signs.',
  },
)

export const SigningKeyStateEnum = enumType<SigningKeyState>('SigningKeyState', 'Whether a key pair signs.', {
  NEXT: 'Published, and not signing yet: it does from the next `endpointRotateSecret` on.',
  CURRENT: 'It signs.',
  ENDING: 'It signs beside the current one until `signsUntil`.',
})

export const EndpointStateEnum = enumType<EndpointState>('EndpointState', 'Whether an endpoint is sent to.', {
  ACTIVE: 'Deliveries go out.',
  PAUSED: 'Somebody paused it: deliveries are created and wait for `endpointResume`.',
  DISABLED:
    'Postrider stopped sending to it, `disabledReason` says why: deliveries are created and wait for `endpointResume`.',
})

export const DisabledReasonEnum = enumType<DisabledReason>(
  'DisabledReason',
  'Why Postrider stopped sending to an endpoint.',
  {
    GONE: 'It answered 410 Gone: it wants nothing more.',
    FAILING: 'It answered nothing but failures for 5 days and at least 20 attempts, unless configured otherwise.',
  },
)

export const FailedReasonEnum = enumType<FailedReason>('FailedReason', 'Why a delivery failed for good.', {
  EXHAUSTED: 'Its last attempt failed: the schedule has no further one.',
  EXPIRED: 'It was still pending when the payload of its event was no longer kept (POSTRIDER_BODY_RETENTION_DAYS).',
})

export const EndpointHealthEnum = enumType<EndpointHealth>('EndpointHealth', 'How an endpoint has been answering.', {
  HEALTHY: 'It takes deliveries, or has not failed for long enough to be FAILING.',
  FAILING:
    'Nothing but failures for 5 minutes, unless configured otherwise; seen at the first failure after that time.',
})

export const AllowanceReasonEnum = enumType<AllowanceReason>(
  'AllowanceReason',
  'Why an endpoint is given fewer requests at a time than its `maxInFlight`.',
  {
    PUSHBACK: 'It answered 429, 502, 503 or 504.',
    FAILING: 'Most of its latest answers were 5xx, or did not come at all.',
    SLOW: 'Most of its latest answers took more than half of its timeout.',
  },
)

export const OrderingEnum = enumType<Ordering>(
  'Ordering',
  'Whether deliveries to an endpoint go in the order of their events.',
  {
    NONE: 'Each goes as soon as it can.',
    PER_ENDPOINT:
      'One after another: the next one goes when the one before was delivered or cancelled; `onBlocked` says what one that failed does.',
    PER_KEY: 'One after another among events with the same `orderingKey`; those without one go as soon as they can.',
  },
)

export const OnBlockedEnum = enumType<OnBlocked>(
  'OnBlocked',
  'What an ordered endpoint does with the deliveries behind one that has failed for good.',
  {
    WAIT: 'They wait until that one is delivered by hand or cancelled.',
    SKIP_AFTER_FAILED: 'They go on without it.',
  },
)

export const HttpMethodEnum = enumType<HttpMethod>('HttpMethod', 'The HTTP method of a delivery.', {
  POST: 'The default.',
  PUT: 'For receivers that take events as resources.',
  PATCH: 'For receivers that take events as changes.',
})

export const DeliveryStateEnum = enumType<DeliveryState>('DeliveryState', 'How far a delivery is.', {
  PENDING: 'It goes out now, or waits: `waitingFor` says for what.',
  DELIVERED: 'An attempt was answered with 200–299.',
  FAILED: 'It failed for good: `failedReason` says why. While its payload is kept it can be retried or replayed.',
  CANCELLED:
    'Cancelled by `deliveryCancel`, because its endpoint was deleted or its event expunged, or taken back with the replay that created it.',
})

export const DeliveryWaitEnum = enumType<DeliveryWait>(
  'DeliveryWait',
  'Why a pending delivery does not go at this moment.',
  {
    ALLOWANCE: 'Its endpoint has as many requests in flight, or in this second, as it may have at present.',
    ORDER: 'Another delivery goes before it in its lane.',
    RETRY: 'An attempt failed; the next one is at `nextAttemptAt`.',
    PAUSED: 'Its endpoint is paused.',
    DISABLED: 'Its endpoint is disabled.',
  },
)

export const RoutingRefusalEnum = enumType<Refusal>('RoutingRefusal', 'Why an endpoint does not get an event.', {
  TEST_EVENT: 'The event is a test: it goes to the one endpoint that it was made for.',
  EVENT_TYPE: 'It does not want this type; `*` and an absent list do not mean `endpoint.*` and `delivery.*`.',
  CHANNEL: 'The event carries none of the channels that it listens to.',
  VERSION: 'It is pinned to another version of this type; an event without a version is none of them.',
  FILTER: 'Its filter does not hold.',
  FILTER_FAULT: 'Its filter could not be evaluated: `fault` says why. That counts as no match.',
})

export const ReplayStateEnum = enumType<ReplayState>('ReplayState', 'How far a replay is.', {
  RUNNING: 'It hands deliveries over, or waits for room at their endpoints.',
  COMPLETED: 'Everything is handed over: sent, about to be, or waiting for a paused or disabled endpoint.',
  CANCELLED: 'Cancelled by `replayCancel`.',
  FAILED: 'It could not go on: `failure` says why.',
})

export const ReplayFailureEnum = enumType<ReplayFailure>('ReplayFailure', 'Why a replay could not be finished.', {
  ENDPOINT_DELETED: 'The endpoint, or the last one of them, was deleted meanwhile.',
})

export const ReplaySkipReasonEnum = enumType<SkipReason>('ReplaySkipReason', 'Why a replay does not send a delivery.', {
  PENDING: 'It is on its way already: by its schedule, by hand or by another replay.',
  TEST: 'It is a test, made by `endpointTest`.',
  ENDPOINT_DELETED: 'Its endpoint was deleted.',
  PAYLOAD_GONE: 'The payload of its event was expunged, or is no longer kept.',
})

export const ReplayWarningEnum = enumType<ReplayWarning>('ReplayWarningCode', 'What to know before a replay.', {
  ENDPOINT_PAUSED: 'Some go to paused endpoints, and wait until those are resumed.',
  ENDPOINT_DISABLED: 'Some go to disabled endpoints, and wait until those are resumed.',
  PENDING_LEFT_ALONE: 'Some are on their way already.',
  UNBOUNDED: 'No `since` bounds it: it goes back to the oldest that is kept.',
  FILTERED:
    'The endpoint has a filter, which is asked of each event when it is brought: fewer may be sent than were counted.',
  PARTLY_DROPPED: 'It begins before what is kept: that part is gone.',
})

export const AttemptTriggerEnum = enumType<AttemptTrigger>('AttemptTrigger', 'What caused an attempt.', {
  SCHEDULE: 'The first attempt, or a retry by the schedule.',
  MANUAL: '`deliveryRetry`: one attempt beside the schedule.',
  REPLAY: 'A replay: once more, or a new schedule from its beginning.',
  TEST: '`endpointTest`: the one attempt at an example event.',
})

export const AttemptErrorClassEnum = enumType<AttemptErrorClass>(
  'AttemptErrorClass',
  'What went wrong with an attempt.',
  {
    BLOCKED_ADDRESS:
      'The URL may not be sent to: its host is no public one, or only https is allowed. The message says which.',
    DNS: 'The host name could not be resolved.',
    CONNECT_TIMEOUT: 'No connection within the time.',
    CONNECT_REFUSED: 'Nothing listens on that port.',
    UNREACHABLE: 'There is no way to that address.',
    TLS_EXPIRED: 'The certificate has expired, or is not valid yet.',
    TLS_UNTRUSTED: 'The certificate is not signed by an authority that is trusted, or an intermediate one is missing.',
    TLS_HOSTNAME: 'The certificate is for another host name.',
    TLS_PROTOCOL: 'No TLS version or cipher in common, or no TLS at all behind that port.',
    TLS_CLIENT_CERTIFICATE:
      'The server wants a client certificate, and there is none, or it did not accept the one that the endpoint has.',
    RESET: 'The connection was closed before status line and headers were complete.',
    TIMEOUT: 'No answer within `timeoutSeconds`.',
    PROTOCOL: 'The answer is not HTTP.',
    HTTP_STATUS: 'Answered with a status other than 200–299.',
    HEADERS_TOO_LARGE: 'The headers of the answer exceed 16 KiB, or are more than 200.',
    OAUTH: 'No access token could be had for the endpoint: its token URL failed, or refused its OAuth 2.0 credentials.',
    PROXY: 'The proxy that Postrider sends through failed: not the endpoint’s fault.',
    INTERNAL: 'A fault in Postrider; the delivery is tried again.',
  },
)

export const ActorKindEnum = enumType<ActorKind>('ActorKind', 'Who changes something.', {
  API_KEY: 'Somebody with an API key.',
  PORTAL_SESSION: 'Somebody with a portal session.',
  SYSTEM: 'Postrider itself, or one of its commands.',
})

export const AuditActionEnum = enumType<AuditAction>('AuditAction', 'What leaves an entry in the audit log.', {
  TENANT_CREATE: '`tenantCreate`: a new tenant.',
  TENANT_UPDATE: '`tenantUpdate`: a tenant was changed.',
  TENANT_DELETE: '`tenantDelete`: a tenant was deleted.',
  API_KEY_CREATE: '`apiKeyCreate`: a new API key.',
  API_KEY_REVOKE: '`apiKeyRevoke`: an API key opens nothing any more.',
  PORTAL_SESSION_CREATE: '`portalSessionCreate`: a new portal session.',
  PORTAL_SESSION_REVOKE: '`portalSessionRevoke`: a portal session was ended.',
  ENDPOINT_CREATE: '`endpointCreate`: a new endpoint.',
  ENDPOINT_UPDATE: '`endpointUpdate`: an endpoint was changed; `details` has what was before and after.',
  ENDPOINT_PAUSE: '`endpointPause`: an endpoint was paused.',
  ENDPOINT_RESUME: '`endpointResume`: an endpoint was resumed, or enabled again.',
  ENDPOINT_TEST: '`endpointTest`: an example event was sent.',
  ENDPOINT_DELETE: '`endpointDelete`: an endpoint was deleted.',
  ENDPOINT_ROTATE_SECRET:
    '`endpointRotateSecret`: an endpoint got a new signing secret; `details` has its id, never its value.',
  ENDPOINT_REVEAL_SECRET: '`endpointRevealSecret`: somebody was told the signing secrets of an endpoint.',
  DELIVERY_RETRY: '`deliveryRetry`: one more attempt was asked for.',
  DELIVERY_CANCEL: '`deliveryCancel`: a delivery was given up.',
  REPLAY_START: '`replayStart`: a replay was started.',
  REPLAY_CANCEL: '`replayCancel`: a replay was stopped.',
  EVENT_EXPUNGE: '`eventExpunge`: the payload of an event was removed.',
  EVENT_ROUTE: '`eventRoute`: an event was routed again.',
  EVENT_TYPE_SAVE: '`eventTypeSave`: an event type was added or changed.',
  EVENT_TYPE_ARCHIVE: '`eventTypeArchive`: an event type was archived.',
  EVENT_TYPES_IMPORT: '`eventTypesImport`: event types were imported from an OpenAPI document.',
  KEYS_ROTATE: '`npm run keys:rotate`: secrets were encrypted with a new master key.',
})
