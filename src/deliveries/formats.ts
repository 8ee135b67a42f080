import { Buffer } from 'node:buffer'
import type { PayloadFormat } from '../../schema/states.ts'
import type { Header } from '../endpoints/headers.ts'
import { xmlOfJson, xmlText } from './format-xml.ts'

/** An event as a format needs it; `payload` is the JSON text as it was published. */
export type FormattableEvent = {
  /** The public form, `evt_…`. */
  id: string
  type: string
  version: string | null
  /** When it happened, else when it was accepted. */
  createdAt: Date
  /** The key of its tenant, which never changes. */
  tenant: string
  /** An example that `endpointTest` made. Every format but `RAW` says so in what is signed. */
  isTest: boolean
  payload: string
}

/** `headers`: the content type first, then what else belongs to the format. */
export type FormattedBody = { headers: Header[]; body: Buffer }

/**
 * The body of a request, and the headers that say what it is. Wherever the payload is JSON it is spliced in as text: parsing and
 * printing it again would alter large numbers, `1.10`, duplicate keys, and the order of integer-like keys.
 */
export function formatEvent(format: PayloadFormat, event: FormattableEvent): FormattedBody {
  return FORMATS[format](event)
}

const FORMATS: Record<PayloadFormat, (event: FormattableEvent) => FormattedBody> = {
  ENVELOPE: (event) => body('application/json', envelope(event)),
  RAW: ({ payload }) => body('application/json', payload),
  THIN: (event) => body('application/json', `${head(event)}}`),
  CLOUDEVENTS_STRUCTURED: (event) => body('application/cloudevents+json', cloudEvent(event)),
  CLOUDEVENTS_BINARY: (event) => body('application/json', event.payload, cloudEventHeaders(event)),
  FORM: (event) =>
    body('application/x-www-form-urlencoded', new URLSearchParams({ payload: envelope(event) }).toString()),
  XML: (event) => body('application/xml', xml(event)),
}

function body(contentType: string, text: string, headers: readonly Header[] = []): FormattedBody {
  return { headers: [['content-type', contentType], ...headers], body: Buffer.from(text) }
}

const { stringify } = JSON

const envelope = (event: FormattableEvent) => `${head(event)},"data":${event.payload}}`

function head({ id, type, version, createdAt, isTest }: FormattableEvent): string {
  const test = isTest ? ',"test":true' : ''
  return `{"id":${stringify(id)},"type":${stringify(type)},"version":${stringify(version)},"created_at":"${createdAt.toISOString()}"${test}`
}

/** CloudEvents 1.0, "Context Attributes"; `eventversion` and `test` are extensions. */
function attributesOf({
  id,
  type,
  version,
  createdAt,
  tenant,
  isTest,
}: FormattableEvent): [name: string, value: string][] {
  return [
    ['specversion', '1.0'],
    ['id', id],
    ['source', `/tenants/${tenant}`],
    ['type', type],
    ['time', createdAt.toISOString()],
    ...(version === null ? [] : [['eventversion', version] as [string, string]]),
    ...(isTest ? [['test', 'true'] as [string, string]] : []),
  ]
}

/** JSON Event Format for CloudEvents 1.0, section 3. */
function cloudEvent(event: FormattableEvent): string {
  const attributes = [...attributesOf(event), ['datacontenttype', 'application/json'] as const]
  const members = attributes.map(([name, value]) => `${stringify(name)}:${stringify(value)}`)
  return `{${members.join(',')},"data":${event.payload}}`
}

/**
 * HTTP Protocol Binding for CloudEvents 1.0, section 3.1.3.2: spaces, quotes, percent signs and everything but printable ASCII
 * are percent-encoded as UTF-8.
 */
function cloudEventHeaders(event: FormattableEvent): Header[] {
  return attributesOf(event).map(([name, value]) => [
    `ce-${name}`,
    value.replace(/[^\x21\x23\x24\x26-\x7e]+/g, encodeURIComponent),
  ])
}

function xml({ id, type, version, createdAt, isTest, payload }: FormattableEvent): string {
  const shown = version === null ? '' : `<version>${xmlText(version)}</version>`
  return `<?xml version="1.0" encoding="UTF-8"?>\n<event><id>${id}</id><type>${type}</type>${shown}<created_at>${createdAt.toISOString()}</created_at>${isTest ? '<test>true</test>' : ''}<data>${xmlOfJson(payload)}</data></event>`
}
