import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Draft, draftEvent } from '../../src/events/draft.ts'
import { savePublishRules } from '../../src/events/publish-in-sql.ts'
import { type Mistake, mistakesIn } from '../../src/mistake.ts'
import { startEngine } from '../support/engine.ts'
import { publishIn } from '../support/publish-in-sql.ts'

const MOST_BYTES = 300

const text = fc.string({
  unit: fc.constantFrom('a', '9', '_', '.', ' ', '"', '\\', '\n', '\t', '\x7f', '\x01', 'ä', '😀', '\u2028'),
})
const type = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('order.placed', 'a', 'A_1.b.C9', 'endpoints.x', 'a'.repeat(128)) },
  fc.constantFrom('endpoint.x', 'delivery.', 'delivery', '', 'a..b', '.a', 'a.', 'ä.b', 'a\n', 'a b', 'a'.repeat(129)),
  text,
)
const short = (most: number) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(null, 'k', 'customer "7"', '😀'.repeat(most / 2)) },
    fc.constantFrom('', `${'😀'.repeat(most / 2)}a`, 'a'.repeat(most), 'a'.repeat(most + 1), 'ä'.repeat(most)),
    text,
  )
const channels = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<string[][]>([], ['eu'], ['a:b', 'c.d-e_f'], Array(16).fill('a')) },
  fc.constantFrom([''], ['a b'], ['a'.repeat(129)], ['a', 'ü'], Array(17).fill('a')),
  fc.array(text, { maxLength: 3 }),
)
const nested = (levels: number, open = '[', inner = '', close = ']') =>
  open.repeat(levels) + inner + close.repeat(levels)
const piece = fc.constantFrom(
  '"',
  '\\',
  '\\\\',
  '\\"',
  '\\u',
  '\\ud83d',
  '\\uDE00',
  '\\ud83d\\ude00',
  '\\u0000',
  '\\uD7ff',
  '\\ue000',
  '\\x',
  '\\/',
  '[',
  ']',
  '{',
  '}',
  ',',
  ':',
  '1',
  '0',
  '-',
  '.',
  'e',
  '+',
  '1e400',
  '-0',
  '00',
  '0.',
  '1.5E-7',
  'true',
  'nul',
  'null',
  ' ',
  '\n',
  '\t',
  '\r',
  '\f',
  '\v',
  '\b',
  '\x00',
  '\u00a0',
  '\ufeff',
  '\x7f',
  '😀',
  'a',
  '"a":',
  '/**/',
  "'",
  'NaN',
  '9'.repeat(40),
)
const valid = fc.oneof(
  fc.json(),
  fc.json({ stringUnit: 'binary' }),
  fc.constantFrom(
    nested(64),
    nested(65),
    nested(64, '{"a":', '1', '}'),
    nested(32, '[{"[":', '[]', '}]'),
    nested(32, '[{"a":', '1', '}]'),
  ),
  fc.array(piece, { maxLength: 6 }).map((pieces) => `"${pieces.join('')}"`),
  fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join('')),
)
const payload = fc.oneof(
  { weight: 3, arbitrary: valid },
  fc.tuple(valid, fc.nat(), fc.nat(2), piece).map(([json, at, gone, put]) => {
    const place = json.length === 0 ? 0 : at % json.length
    return (json.slice(0, place) + put + json.slice(place + gone)).toWellFormed()
  }),
)
const occurredAt = fc.option(
  fc.date({ noInvalidDate: true, min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59.999Z') }),
)
const event = fc.record({
  type,
  payload,
  version: short(64),
  orderingKey: short(256),
  key: short(256),
  channels,
  occurredAt,
})

const CODES: Record<string, string> = {
  PR001: 'INVALID_INPUT',
  PR002: 'RESERVED_EVENT_TYPE',
  PR004: 'INVALID_PAYLOAD',
  PR005: 'PAYLOAD_TOO_LARGE',
}

test('whatever is published, eventPublish and SQL agree on whether it may be, and on what it is', async () => {
  const { db, tenantId } = await startEngine({ worker: false })
  await savePublishRules(db.sql, { maxPayloadBytes: MOST_BYTES, idempotencyHours: 24, refusesUnknownEventTypes: false })
  const seen = { accepted: 0, refused: 0 }

  await fc.assert(
    fc.asyncProperty(event, async ({ key, payload, ...rest }) => {
      const input = { ...rest, payloadJson: payload, idempotencyKey: key, tenantId }
      const drafted = draftedOr(() => draftEvent(input, [], new Date(), MOST_BYTES))
      await db
        .transaction(async (tx) => {
          await publishIn(tx, {
            type: rest.type,
            payload,
            wake: false,
            channels: rest.channels,
            ...(key === null ? {} : { idempotency_key: key }),
            ...(rest.version === null ? {} : { version: rest.version }),
            ...(rest.orderingKey === null ? {} : { ordering_key: rest.orderingKey }),
            ...(rest.occurredAt === null ? {} : { occurred_at: rest.occurredAt.toISOString() }),
          })
          const [row] = await tx`
            select type, version, channels, ordering_key as "orderingKey", payload, to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "occurredAt", encode(body_hash, 'hex') as hash
            from postrider.events event join postrider.event_payloads using (id)
            left join postrider.idempotency_keys on event_id = event.id`
          expect(drafted).toMatchObject({ payload })
          const { idempotency, id: _, tenantId: __, occurredAt, ...same } = drafted as Draft
          expect(row).toMatchObject({ ...same, hash: idempotency?.bodyHash.toString('hex') ?? null })
          if (rest.occurredAt !== null) expect(row?.occurredAt).toBe(occurredAt.toISOString())
          seen.accepted++
          throw new Undo()
        })
        .catch((error: { code?: string }) => {
          if (error instanceof Undo) return
          // How Postgres itself answers to U+0000 in any text.
          const isNul = error.code === '22021'
          if (!isNul && CODES[error.code ?? ''] === undefined) throw error
          expect(drafted, `SQL says ${JSON.stringify(error)}`).toBeInstanceOf(Array)
          const codes: string[] = (drafted as Mistake[]).map(({ code }) => code)
          if (!isNul) expect(codes).toContain(CODES[error.code ?? ''])
          seen.refused++
        })
    }),
    // Smaller counterexamples would take minutes of a database's time: seed and path are enough.
    { numRuns: 500, endOnFailure: true },
  )
  expect(seen.accepted).toBeGreaterThan(50)
  expect(seen.refused).toBeGreaterThan(50)
})

class Undo extends Error {}

function draftedOr(draft: () => Draft): Draft | readonly Mistake[] {
  try {
    return draft()
  } catch (error) {
    return mistakesIn(error as Mistake)
  }
}
