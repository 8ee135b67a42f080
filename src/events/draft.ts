import { createHash } from 'node:crypto'
import { newId, type TenantId } from '../../schema/ids.ts'
import { checkChannel } from '../endpoints/wishes.ts'
import { isReservedEventType, validateEventTypeName } from '../event-types/names.ts'
import { Mistake, readAll, readEach } from '../mistake.ts'
import { payloadText } from './payload.ts'
import type { NewEvent } from './write.ts'

export type PublishInput = {
  tenantId: TenantId
  type: string
  /** Exactly one of `payload`, a parsed JSON value, and `payloadJson`, JSON text kept byte for byte. */
  payload?: unknown
  payloadJson?: string | null
  version?: string | null
  channels?: readonly string[] | null
  orderingKey?: string | null
  idempotencyKey?: string | null
  occurredAt?: Date | null
}

/** An event that may be written: everything about it was checked. */
export type Draft = NewEvent & {
  idempotency: { key: string; bodyHash: Buffer } | null
}

/** Checks what a producer sent; throws a `Mistake` whose path starts at `path`, or all that it found together. */
export function draftEvent(input: PublishInput, path: readonly string[], now: Date, mostPayloadBytes: number): Draft {
  const { version, orderingKey, key, channels, payload } = readAll({
    type: () => checkType(input.type, [...path, 'type']),
    version: () => shortText(input.version, 64, [...path, 'version']),
    orderingKey: () => shortText(input.orderingKey, 256, [...path, 'orderingKey']),
    key: () => shortText(input.idempotencyKey, 256, [...path, 'idempotencyKey']),
    channels: () => checkChannels(input.channels ?? [], [...path, 'channels']),
    payload: () => payloadText(input, path, mostPayloadBytes),
  })
  const body = JSON.stringify([input.type, version, channels, orderingKey, input.occurredAt ?? null, payload])
  return {
    id: newId(now),
    tenantId: input.tenantId,
    type: input.type,
    version,
    channels,
    orderingKey,
    occurredAt: input.occurredAt ?? now,
    payload,
    idempotency: key === null ? null : { key, bodyHash: createHash('sha256').update(body).digest() },
  }
}

function checkType(type: string, path: string[]): void {
  const nameFault = validateEventTypeName(type)
  if (nameFault) throw new Mistake('INVALID_INPUT', path, nameFault)
  if (!isReservedEventType(type)) return
  const message = `"${type}" is reserved: Postrider itself publishes endpoint.* and delivery.*.`
  throw new Mistake('RESERVED_EVENT_TYPE', path, message)
}

function shortText(value: string | null | undefined, most: number, path: readonly string[]): string | null {
  if (value === null || value === undefined) return null
  // Postgres text cannot hold U+0000, and a lone surrogate would silently become U+FFFD.
  if (value.length === 0 || value.length > most || value.includes('\0') || !value.isWellFormed()) {
    throw new Mistake('INVALID_INPUT', [...path], `Must be 1 to ${most} characters of valid Unicode without U+0000.`)
  }
  return value
}

function checkChannels(channels: readonly string[], path: readonly string[]): readonly string[] {
  if (channels.length > 16) throw new Mistake('INVALID_INPUT', [...path], 'At most 16 channels are allowed.')
  readEach(channels, (channel, index) => checkChannel(channel, [...path, String(index)]))
  return channels
}
