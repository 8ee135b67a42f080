import { describe, expect, test } from 'vitest'
import { check, type Law } from './check.ts'
import type { Claim, Fault, History, Publish, Receipt } from './history.ts'

/** Hand-made histories: the good one breaks no law, and each that is bad in one way breaks the law that is meant. */

const ALL = { name: 'all', types: ['a.b', 'a.c'], ordered: false }
const SOME = { name: 'some', types: ['a.b'], ordered: false }
const LANES = { name: 'lanes', types: ['o.p'], ordered: true }

function publish(eventId: string | null, changes: Partial<Publish> = {}): Publish {
  const key = `key of ${eventId}`
  const common = { key, type: 'a.b', lane: 'one', payload: `{"key":"${key}"}`, tries: 1 }
  return { ...common, eventId, duplicate: false, refusal: null, ...changes }
}

function receipt(of: Publish, endpoint: string, changes: Partial<Receipt> = {}): Receipt {
  const eventId = of.eventId ?? 'evt_unknown'
  const body = `{"id":"${eventId}","type":"${of.type}","data":${of.payload}}`
  return { endpoint, eventId, at: 1000, answer: 'ok', body, genuine: true, ...changes }
}

const one = publish('evt_1')

function history(changes: Partial<History> = {}): History {
  return {
    endpoints: [ALL, SOME, LANES],
    publishes: [one],
    receipts: [receipt(one, 'all'), receipt(one, 'some')],
    claims: [],
    faults: [],
    deaths: [],
    claimMs: 5000,
    ...changes,
    rows: {
      events: ['evt_1'],
      deliveries: [
        { id: 'd1', eventId: 'evt_1', endpoint: 'all', state: 'DELIVERED' },
        { id: 'd2', eventId: 'evt_1', endpoint: 'some', state: 'DELIVERED' },
      ],
      attempts: ['d1', 'd2'].map((delivery) => ({ delivery, startedAt: 990, errorClass: null })),
      left: { 'deliver tickets': 0 },
      ...changes.rows,
    },
  }
}

const broken = (given: History): Law[] => [...new Set(check(given).violations.map(({ law }) => law))]

test('a good history breaks no law, and is counted', () => {
  const { figures, violations } = check(history())
  expect(violations).toEqual([])
  expect(figures).toMatchObject({ attempted: 1, acknowledged: 1, ok: 2, lost: 0, unexpected: 0, duplicates: 0 })
})

describe('lost', () => {
  test('acknowledged, and never received at one of two endpoints', () => {
    const given = history({ receipts: [receipt(one, 'all')] })
    expect(broken(given)).toEqual(['lost'])
    expect(check(given).figures).toMatchObject({ ok: 1, lost: 1 })
  })

  test('received, but answered with a failure', () => {
    expect(broken(history({ receipts: [receipt(one, 'all'), receipt(one, 'some', { answer: 'failure' })] }))).toEqual([
      'lost',
    ])
  })
})

describe('unexpected', () => {
  test('where it does not belong', () => {
    const other = publish('evt_1', { type: 'a.c' })
    const given = history({ publishes: [other], receipts: [receipt(other, 'all'), receipt(other, 'some')] })
    expect(broken(given)).toEqual(['unexpected'])
  })

  test('an event that nobody published', () => {
    const given = history()
    given.receipts.push(receipt(publish('evt_9'), 'all'))
    expect(broken(given)).toEqual(['unexpected'])
  })

  test('a key that became two events', () => {
    expect(broken(history({ rows: { ...history().rows, events: ['evt_1', 'evt_2'] } }))).toEqual(['unexpected'])
  })

  test('but an event whose publisher never heard of it may arrive', () => {
    const unheard = publish(null, { tries: 3 })
    const given = history({ publishes: [one, unheard], rows: { ...history().rows, events: ['evt_1', 'evt_2'] } })
    given.receipts.push(receipt(unheard, 'all', { eventId: 'evt_2' }))
    expect(broken(given)).toEqual(['acknowledged'])
  })
})

describe('duplicates', () => {
  const claim = (changes: Partial<Claim> = {}): Claim => {
    return { process: 'worker 1', ticket: 't1', retryCount: 0, delivery: 'd1', asked: 900, at: 950, ...changes }
  }
  const killed: Fault = { kind: 'worker', process: 'worker 1', at: 1100, readAt: 1099, held: new Set(['t1 0']) }
  const twice = (changes: Partial<History>) => {
    const given = history(changes)
    given.receipts.push(receipt(one, 'all', { at: 7000 }))
    given.rows.attempts.push({ delivery: 'd1', startedAt: 6990, errorClass: null })
    return given
  }

  test('none may be where nothing happened', () => {
    expect(broken(twice({ claims: [claim()] }))).toEqual(['duplicates'])
  })

  test('one may be for a claim that was in flight at its worker', () => {
    const given = twice({ claims: [claim()], faults: [killed] })
    expect(broken(given)).toEqual([])
    expect(check(given).figures).toMatchObject({ duplicates: 1, 'in flight at faults': 1 })
  })

  test('only one for a claim, however many faults it was in flight at', () => {
    const given = twice({ claims: [claim()], faults: [killed, { ...killed, at: 1200 }] })
    given.receipts.push(receipt(one, 'all', { at: 9000 }))
    given.rows.attempts.push({ delivery: 'd1', startedAt: 8990, errorClass: null })
    expect(broken(given)).toEqual(['duplicates'])
  })

  test.each([
    ['of another worker', { process: 'worker 2' }],
    ['that was taken later', { asked: 1200, at: 1250 }],
    ['that had ended before', { ticket: 't9' }],
    ['of another delivery', { delivery: 'd2' }],
  ])('none for a claim %s', (_, changes) => {
    expect(broken(twice({ claims: [claim(changes)], faults: [killed] }))).toEqual(['duplicates'])
  })

  test('one for a claim that was taken while it was read what is held', () => {
    const given = twice({ claims: [claim({ at: 1100, asked: 1098 })], faults: [{ ...killed, held: new Set() }] })
    expect(broken(given)).toEqual([])
  })

  test('one for whatever was in flight when everybody lost their answers', () => {
    const everybody = { ...killed, kind: 'receiver', process: null }
    expect(broken(twice({ claims: [claim({ process: 'worker 2' })], faults: [everybody] }))).toEqual([])
  })

  test('one for a claim that lapsed, and none for one that was taken away before', () => {
    const lapsed = claim({ retryCount: 1, asked: 6900, at: 6950 })
    expect(broken(twice({ claims: [claim(), lapsed] }))).toEqual([])
    const takenAway = claim({ retryCount: 1, asked: 3900, at: 3950 })
    expect(broken(twice({ claims: [claim(), takenAway] }))).toEqual(['duplicates'])
  })

  test('one for an answer that the machine was too slow for', () => {
    const given = twice({ claims: [claim()] })
    given.rows.attempts[0] = { delivery: 'd1', startedAt: 990, errorClass: 'TIMEOUT' }
    expect(broken(given)).toEqual([])
    given.receipts.push(receipt(one, 'all', { answer: 'silence' }))
    given.rows.attempts.push({ delivery: 'd1', startedAt: 4990, errorClass: 'TIMEOUT' })
    expect(broken(given)).toEqual(['duplicates'])
  })

  test('what was answered with a failure is no duplicate', () => {
    const given = history()
    given.receipts.unshift(receipt(one, 'all', { answer: 'failure', at: 500 }))
    given.rows.attempts.push({ delivery: 'd1', startedAt: 490, errorClass: 'HTTP_STATUS' })
    expect(broken(given)).toEqual([])
  })
})

describe('acknowledged', () => {
  test('a key that never was', () => {
    expect(broken(history({ publishes: [one, publish(null)] }))).toEqual(['acknowledged'])
  })

  test('a key that was refused', () => {
    expect(broken(history({ publishes: [{ ...one, refusal: 'IDEMPOTENCY_CONFLICT' }] }))).toEqual(['acknowledged'])
  })

  test('as a duplicate it is recovered', () => {
    const { figures } = check(history({ publishes: [{ ...one, duplicate: true, tries: 4 }] }))
    expect(figures).toMatchObject({ 'of these recovered': 1, 'tries beyond the first': 3 })
  })
})

test.each([
  ['no row', []],
  ['two rows', ['DELIVERED', 'DELIVERED']],
  ['a row that is not done', ['PENDING']],
])('rows: %s', (_, states) => {
  const rows = history().rows
  const others = rows.deliveries.filter(({ endpoint }) => endpoint !== 'all')
  const deliveries = states.map((state) => ({ id: 'd1', eventId: 'evt_1', endpoint: 'all', state }))
  const laws = broken(history({ rows: { ...rows, deliveries: [...others, ...deliveries] } }))
  expect(laws).toContain('rows')
})

test.each([
  ['another payload', '{"id":"evt_1","type":"a.b","data":{"key":"key of evt_1" }}'],
  ['another event', '{"id":"evt_7","type":"a.b","data":{"key":"key of evt_1"}}'],
])('bytes: %s', (_, body) => {
  expect(broken(history({ receipts: [receipt(one, 'all', { body }), receipt(one, 'some')] }))).toEqual(['bytes'])
})

test('bytes: not the same each time', () => {
  const body = '{"id":"evt_1","type":"a.b","version":null,"data":{"key":"key of evt_1"}}'
  const given = history({ receipts: [receipt(one, 'all', { answer: 'failure' }), receipt(one, 'all', { body })] })
  expect(broken(given)).toContain('bytes')
})

test('genuine: a signature that does not verify', () => {
  const given = history({ receipts: [receipt(one, 'all', { genuine: false }), receipt(one, 'some')] })
  expect(broken(given)).toEqual(['genuine'])
})

test('recorded: a request without an attempt', () => {
  const rows = { ...history().rows, attempts: history().rows.attempts.slice(1) }
  expect(broken(history({ rows }))).toEqual(['recorded'])
})

describe('order', () => {
  const first = publish('evt_1', { type: 'o.p' })
  const second = publish('evt_2', { type: 'o.p' })
  const given = (times: [string, number][], changes: Partial<Publish> = {}) =>
    history({
      publishes: [first, { ...second, ...changes }],
      receipts: times.map(([event, at]) => receipt(event === 'evt_1' ? first : second, 'lanes', { at })),
      rows: {
        events: ['evt_1', 'evt_2'],
        deliveries: ['evt_1', 'evt_2'].map((eventId) => {
          return { id: `d of ${eventId}`, eventId, endpoint: 'lanes', state: 'DELIVERED' }
        }),
        attempts: times.map(([event, at]) => ({ delivery: `d of ${event}`, startedAt: at - 5, errorClass: null })),
        left: {},
      },
    })

  test('in order', () => {
    const inOrder: [string, number][] = [
      ['evt_1', 10],
      ['evt_2', 20],
    ]
    expect(broken(given(inOrder))).toEqual([])
  })

  const swapped: [string, number][] = [
    ['evt_1', 20],
    ['evt_2', 10],
  ]
  test('the later one first', () => expect(broken(given(swapped))).toEqual(['order']))
  test('but lanes wait for nobody else', () => expect(broken(given(swapped, { lane: 'two' }))).toEqual([]))

  test('a repetition may come behind', () => {
    const repeated: [string, number][] = [
      ['evt_1', 10],
      ['evt_2', 20],
      ['evt_1', 30],
    ]
    expect(broken(given(repeated))).toEqual(['duplicates'])
  })
})

test('left: a claim that is held', () => {
  expect(broken(history({ rows: { ...history().rows, left: { 'deliver tickets': 2 } } }))).toEqual(['left'])
})

test('deaths: a process that nobody killed', () => {
  expect(broken(history({ deaths: ['worker 1 ended with 1: TypeError'] }))).toEqual(['deaths'])
})
