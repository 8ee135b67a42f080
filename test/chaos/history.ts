/** What a run leaves behind: everything that the laws are judged by, as plain data. */
export type History = {
  endpoints: Endpoint[]
  publishes: Publish[]
  /** In the order in which they were written down, before they were answered. */
  receipts: Receipt[]
  claims: Claim[]
  faults: Fault[]
  rows: Rows
  /** Processes that ended although nobody had killed them, with their last words. */
  deaths: string[]
  /** How long a claim lasts. */
  claimMs: number
}

/** `types`: the event types that match it, by hand and not by the program's own idea of matching. */
export type Endpoint = { name: string; types: readonly string[]; ordered: boolean }

/** One idempotency key, published until it was acknowledged. */
export type Publish = {
  key: string
  type: string
  /** The ordering key: its events are published one after another. */
  lane: string
  payload: string
  tries: number
  /** Null: never acknowledged. */
  eventId: string | null
  /** It was acknowledged as one that had been published before: an earlier answer was lost. */
  duplicate: boolean
  /** The program refused it, and said why. */
  refusal: string | null
}

export type Receipt = {
  endpoint: string
  eventId: string
  at: number
  answer: 'ok' | 'failure' | 'silence'
  body: string
  /** What the independent verifier says of signature and timestamp. */
  genuine: boolean
}

/** A `deliver` ticket taken by a process. It was asked for at `asked`, and there at `at`. */
export type Claim = {
  process: string
  ticket: string
  retryCount: number
  delivery: string
  asked: number
  at: number
}

/** `process`: whose claims it put at risk; null: everybody's. `held`: the claims that stood just before it. */
export type Fault = { kind: string; process: string | null; at: number; readAt: number; held: ReadonlySet<string> }

export type Rows = {
  /** Ids of all events, public. */
  events: string[]
  deliveries: DeliveryRow[]
  attempts: AttemptRow[]
  /** Tickets of all queues, claimed or not, and rows that say that they wait: none, once everything is delivered. */
  left: Record<string, number>
}

export type DeliveryRow = { id: string; eventId: string; endpoint: string; state: string }
export type AttemptRow = { delivery: string; startedAt: number; errorClass: string | null }

export const claimKey = ({ ticket, retryCount }: Pick<Claim, 'ticket' | 'retryCount'>) => `${ticket} ${retryCount}`
