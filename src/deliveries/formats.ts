import { Buffer } from 'node:buffer'

/** An event as a format needs it; `payload` is the JSON text as it was published. */
export type FormattableEvent = {
  /** The public form, `evt_…`. */
  id: string
  type: string
  version: string | null
  /** When it happened, else when it was accepted. */
  createdAt: Date
  payload: string
}

export type FormattedBody = { contentType: string; body: Buffer }

/**
 * `ENVELOPE`. The payload is spliced in as text: parsing and printing it again would alter large numbers, `1.10`,
 * duplicate keys, and the order of integer-like keys.
 */
export function formatEnvelope({ id, type, version, createdAt, payload }: FormattableEvent): FormattedBody {
  const { stringify } = JSON
  const head = `{"id":${stringify(id)},"type":${stringify(type)},"version":${stringify(version)},"created_at":"${createdAt.toISOString()}"`
  return { contentType: 'application/json', body: Buffer.from(`${head},"data":${payload}}`) }
}
