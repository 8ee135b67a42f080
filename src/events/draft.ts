import { createHash } from 'node:crypto'
import { newId, type TenantId } from '../../schema/ids.ts'
import { checkChannel } from '../endpoints/wishes.ts'
import { checkPublishable } from '../event-types/names.ts'
import { NUL, type Optional, readText, wrong } from '../input.ts'
import { readAll, readEach } from '../mistake.ts'
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
    type: () => checkPublishable(input.type, [...path, 'type']),
    version: () => readShort(input.version, [...path, 'version'], 'A version', 64),
    orderingKey: () => readShort(input.orderingKey, [...path, 'orderingKey'], 'An ordering key', 256),
    key: () => readShort(input.idempotencyKey, [...path, 'idempotencyKey'], 'An idempotency key', 256),
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

function readShort(text: Optional<string>, path: readonly string[], what: string, most: number): string | null {
  return text === null || text === undefined ? null : readText(text, path, { what, least: 1, most, ...NUL })
}

function checkChannels(channels: readonly string[], path: readonly string[]): readonly string[] {
  if (channels.length > 16) throw wrong(path, 'At most 16 channels are allowed.')
  readEach(channels, (channel, index) => checkChannel(channel, [...path, String(index)]))
  return channels
}
