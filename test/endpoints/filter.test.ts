import { describe, expect, onTestFinished, test } from 'vitest'
import { checkFilter, conditionAtFault, createEvaluation, type Subject } from '../../src/endpoints/filter.ts'
import type { Mistake } from '../../src/mistake.ts'

const PAYLOAD = {
  amount: 150,
  status: 'paid',
  late: false,
  nothing: null,
  'due-date': '2026-03-01',
  customer: { plan: 'pro', tags: ['a', 'b'], address: { country: 'DE' } },
  items: [
    { sku: 'x-1', qty: 2 },
    { sku: 'y-2', qty: 0.5 },
  ],
  at: '2026-03-01T08:30:00Z',
  count: '12',
  ['__proto__']: 1,
}

function subjectOf(payload: unknown): Subject {
  return { type: 'invoice.paid', version: '2', channels: ['eu', 'vip'], tenant: 'acme', payload: () => payload }
}
const verdictOf = (filter: string, payload: unknown = PAYLOAD) => createEvaluation(subjectOf(payload)).verdict(filter)

function refusalOf(filter: string): string {
  try {
    checkFilter(filter, ['input', 'filter'])
  } catch (error) {
    expect(error).toMatchObject({ code: 'INVALID_FILTER', path: ['input', 'filter'] })
    return (error as Mistake).message
  }
  throw new Error(`${filter.slice(0, 80)} was taken`)
}

describe('a filter', () => {
  test.each`
    filter                                                                               | holds
    ${'payload.amount == 150'}                                                           | ${true}
    ${'payload.amount != 150'}                                                           | ${false}
    ${'payload.amount > 100 && payload.amount <= 150.0'}                                 | ${true}
    ${'payload.amount < 100 || payload.status == "paid"'}                                | ${true}
    ${'!payload.late'}                                                                   | ${true}
    ${"payload.status == 'paid'"}                                                        | ${true}
    ${'payload.status < "q"'}                                                            | ${true}
    ${'payload["due-date"] == "2026-03-01"'}                                             | ${true}
    ${'payload.status in ["paid", "open"]'}                                              | ${true}
    ${'"vip" in channels'}                                                               | ${true}
    ${'"us" in channels'}                                                                | ${false}
    ${'channels.exists(c, c.startsWith("e"))'}                                           | ${true}
    ${'type == "invoice.paid" && version == "2" && tenant == "acme"'}                    | ${true}
    ${'type.startsWith("invoice.")'}                                                     | ${true}
    ${'type.endsWith(".failed")'}                                                        | ${false}
    ${'payload.status.contains("ai")'}                                                   | ${true}
    ${'payload.status.matches("^pa[a-z]+$")'}                                            | ${true}
    ${'payload.items[0].sku.matches(r"-\\d")'}                                           | ${true}
    ${'has(payload.customer.plan)'}                                                      | ${true}
    ${'has(payload.customer.age)'}                                                       | ${false}
    ${'has(payload.nothing) && payload.nothing == null'}                                 | ${true}
    ${'"nothing" in payload && !("other" in payload)'}                                   | ${true}
    ${'payload.customer.address.country == "DE"'}                                        | ${true}
    ${'payload.items[1].qty < 1'}                                                        | ${true}
    ${'size(payload.items) == 2 && payload.customer.tags.size() == 2'}                   | ${true}
    ${'size("é😀") == 2'}                                                                | ${true}
    ${'payload.items.exists(i, i.qty > 1)'}                                              | ${true}
    ${'payload.items.all(i, i.qty > 1)'}                                                 | ${false}
    ${'payload.items.exists_one(i, i.sku == "x-1")'}                                     | ${true}
    ${'payload.items.filter(i, i.qty > 1).size() == 1'}                                  | ${true}
    ${'payload.items.map(i, i.sku) == ["x-1", "y-2"]'}                                   | ${true}
    ${'payload.items.exists(i, payload.customer.tags.exists(t, t + "-1" == i.sku))'}     | ${false}
    ${'payload.customer.exists(key, key == "plan")'}                                     | ${true}
    ${'(payload.late ? 1.0 : 2.0) * payload.amount == 300'}                              | ${true}
    ${'payload.amount + 1.0 > 150 && payload.amount / 2.0 == 75 && -payload.amount < 0'} | ${true}
    ${'int(payload.amount) % 2 == 0'}                                                    | ${true}
    ${'int(payload.count) == 12 && double("1.5") == 1.5'}                                | ${true}
    ${'string(payload.amount) == "150"'}                                                 | ${true}
    ${'timestamp(payload.at) > timestamp("2026-01-01T00:00:00Z")'}                       | ${true}
    ${'timestamp(payload.at).getHours() == 8'}                                           | ${true}
    ${'timestamp(payload.at) + duration("1h") < timestamp("2026-03-01T10:00:00Z")'}      | ${true}
    ${'type(payload.amount) == double'}                                                  | ${true}
    ${'payload == payload && payload.items == payload.items'}                            | ${true}
    ${'payload.__proto__ == 1'}                                                          | ${true}
    ${'true // whatever'}                                                                | ${true}
  `('$filter → $holds', ({ filter, holds }) => {
    expect(checkFilter(filter, [])).toBe(filter)
    expect(verdictOf(filter)).toMatchObject({ holds, fault: null })
  })

  test.each`
    filter                              | fault
    ${'payload.missing == 1'}           | ${'Line 1, column 8: there is no field "missing".'}
    ${'payload.status.length == 4'}     | ${'Line 1, column 15: there is no field "length".'}
    ${'payload.constructor == null'}    | ${'Line 1, column 8: there is no field "constructor".'}
    ${'payload[payload.status] == 1'}   | ${'Line 1, column 1: there is no such field.'}
    ${'payload.items[2].qty > 1'}       | ${'Line 1, column 1: the list has no such entry.'}
    ${'true &&\n payload.status > 5'}   | ${'Line 2, column 17: ">" is not for a text and a whole number.'}
    ${'payload.amount'}                 | ${'It is not true or false for this event.'}
    ${'payload.amount && true'}         | ${'Line 1, column 1: this is not true or false.'}
    ${'payload.status.exists(x, true)'} | ${'Line 1, column 15: this is no list.'}
    ${'int(payload.status) == 1'}       | ${'Line 1, column 1: the value cannot be read as that.'}
    ${'int(payload.amount) / 0 == 1'}   | ${'Line 1, column 1: this divides by zero.'}
  `('that cannot be evaluated is no match: $filter', ({ filter, fault }) => {
    checkFilter(filter, [])
    expect(verdictOf(filter)).toMatchObject({ holds: false, fault })
  })

  test('that cannot be evaluated tells nothing of what is in the payload', () => {
    const secret = 'hunter2'
    for (const filter of [
      'int(payload.p) == 1',
      'bool(payload.p)',
      'payload[payload.p]',
      'timestamp(payload.p) == timestamp(payload.p)',
    ]) {
      const { fault } = verdictOf(filter, { p: secret })
      expect(fault).not.toBeNull()
      expect(fault).not.toContain(secret)
    }
  })

  test('holds where one side of || does, whatever the other one is', () => {
    expect(verdictOf('payload.missing == 1 || payload.amount == 150')).toMatchObject({ holds: true, fault: null })
  })

  test.each(['"text"', '5', 'null', '[1]', 'true'])('is about the payload %s as well', (json) => {
    expect(verdictOf(`payload == ${json}`, JSON.parse(json))).toMatchObject({ holds: true, fault: null })
  })

  test.each(['UTC', 'Europe/Berlin', 'Asia/Tokyo'])('reads times in UTC, also in %s', (zone) => {
    const before = process.env.TZ
    process.env.TZ = zone
    onTestFinished(() => {
      if (before === undefined) delete process.env.TZ
      else process.env.TZ = before
    })
    for (const filter of [
      // In Berlin there is no such hour that night.
      'timestamp("2026-03-29T02:30:05.007Z").getHours() == 2',
      'timestamp("2026-03-29T02:30:05.007Z").getMinutes() == 30',
      'timestamp("2026-03-29T02:30:05.007Z").getSeconds() == 5',
      'timestamp("2026-03-29T02:30:05.007Z").getMilliseconds() == 7',
      'timestamp("2026-07-01T00:30:00Z").getDayOfYear() == 181',
      'timestamp("2026-07-01T00:30:00Z").getFullYear() == 2026 && timestamp("2026-07-01T00:30:00Z").getMonth() == 6',
      'timestamp("2026-07-01T00:30:00Z").getDate() == 1 && timestamp("2026-07-01T00:30:00Z").getDayOfMonth() == 0',
      'timestamp("2026-07-05T00:30:00Z").getDayOfWeek() == 0',
    ])
      expect([filter, verdictOf(filter)]).toMatchObject([filter, { holds: true }])
  })

  test('reads the payload for the first that asks for it, and each text is evaluated once', () => {
    let reads = 0
    const evaluation = createEvaluation({ ...subjectOf(null), payload: () => ({ n: ++reads }) })
    evaluation.verdict('type == "a"')
    expect(reads).toBe(0)
    expect(evaluation.verdict('payload.n == 1')).toBe(evaluation.verdict('payload.n == 1'))
    evaluation.verdict('payload.n == 1 && true')
    expect(reads).toBe(1)
  })
})

describe('a filter is refused when it is saved, with the place,', () => {
  test.each`
    filter                                                | says
    ${''}                                                 | ${'Line 1, column 1: A filter is an expression; this is empty.'}
    ${'payload.a = 1'}                                    | ${'Line 1, column 11: "=" is not expected here. Equality is "==".'}
    ${'payload.a and payload.b'}                          | ${'Line 1, column 11: "and" is not expected here. "and" is "&&".'}
    ${'not payload.a'}                                    | ${'Line 1, column 5: "payload" is not expected here. "not" is "!".'}
    ${'payload.name like "x"'}                            | ${'Line 1, column 14: "like" is not expected here.'}
    ${'payload.a >'}                                      | ${'Line 1, column 11: '}
    ${'type == "a" &&\n  == 2'}                           | ${'Line 1, column 13: '}
    ${'"😀" == type && foo'}                              | ${'Line 1, column 16: There is no foo in a filter'}
    ${'typ == "a"'}                                       | ${'Did you mean type?'}
    ${'amount > 5'}                                       | ${'What is in the payload is payload.amount.'}
    ${'payload.s.contain("a")'}                           | ${'There is no function contain(). Did you mean contains()?'}
    ${'payload.s.contains("a", "b")'}                     | ${'contains is written value.contains(x).'}
    ${'contains(payload.s, "b")'}                         | ${'contains is written value.contains(x).'}
    ${'has(payload)'}                                     | ${'has is written has(payload.field)'}
    ${'payload.items.exists(i.x, true)'}                  | ${'exists is written list.exists(x, condition).'}
    ${'type'}                                             | ${'A filter must be true or false; this is a text.'}
    ${'payload.a + "x"'}                                  | ${'A filter must be true or false; this is a text.'}
    ${'"a" && payload.b'}                                 | ${'Line 1, column 1: "&&" takes what is true or false; this is a text.'}
    ${'type == 1'}                                        | ${'"==" between a text and a whole number can never hold.'}
    ${'payload.a == timestamp("x")'}                      | ${'"==" between a value of the payload and a time can never hold.'}
    ${'1 in channels'}                                    | ${'can never hold.'}
    ${'"a" in type'}                                      | ${'A text in a text is found with contains().'}
    ${'payload.a + 1 > 2'}                                | ${'write 1.0 instead of 1, or int(payload.n)'}
    ${'payload.a % 2 == 0'}                               | ${'write int(payload.n) % 2.'}
    ${'type.length == 1'}                                 | ${'There are no fields in a text.'}
    ${'size(5) == 1'}                                     | ${'size() takes a text or a list or an object; this is a whole number.'}
    ${'type.matches("(a")'}                               | ${'missing closing )'}
    ${'type.matches("(?=a)")'}                            | ${'Look-around, back-references and \\p are not known.'}
    ${'type.matches(r"(a)\\1")'}                          | ${'Look-around, back-references and \\p are not known.'}
    ${'type.matches(payload.pattern)'}                    | ${'must be a text that stands here'}
    ${'type.matches("x{900}")'}                           | ${'have at most 500 parts'}
    ${'type.matches("(?i)[\\\\x{80}-\\\\x{10ffff}]")'}    | ${'letters of ASCII only'}
    ${'Foo{a: 1} == payload'}                             | ${'"Foo" is not known'}
    ${'b"a" == b"a"'}                                     | ${'Bytes are not known'}
    ${'payload.a.exists(i, i.exists(j, j.exists(k, k)))'} | ${'Loops nest at most 2 deep.'}
    ${'payload.a\u0000 == 1'}                             | ${'without U+0000'}
    ${'payload.a == "\ud800"'}                            | ${'valid Unicode'}
  `('$filter', ({ filter, says }) => {
    expect(refusalOf(filter)).toContain(says)
  })

  test('shown under its line', () => {
    expect(refusalOf('payload.ok &&\n  foo == 1').split('\n').slice(1)).toEqual(['  foo == 1', '  ^'])
  })
})

describe('the condition that said no', () => {
  test.each`
    filter                                                               | part
    ${'payload.amount > 1000'}                                           | ${'payload.amount > 1000'}
    ${'payload.amount > 100 && payload.status == "open" && type == "x"'} | ${'payload.status == "open"'}
    ${'tenant == "acme" && (payload.late || type == "x")'}               | ${'payload.late || type == "x"'}
    ${'(payload.amount > 1 && (payload.late && type == "a"))'}           | ${'payload.late'}
    ${'type == "a && b" && true'}                                        | ${'type == "a && b"'}
    ${'payload.missing == 1 && payload.late'}                            | ${'payload.late'}
    ${'payload.missing == 1 && type == "invoice.paid"'}                  | ${'payload.missing == 1'}
    ${'payload.late && true || false'}                                   | ${'payload.late && true || false'}
    ${'true ? payload.late && true : true'}                              | ${'true ? payload.late && true : true'}
    ${'payload.items.all(i, i.qty > 1 && true) && true'}                 | ${'payload.items.all(i, i.qty > 1 && true)'}
    ${"'it\\'s && so' == type && true"}                                  | ${"'it\\'s && so' == type"}
    ${'// a && b\npayload.late && true'}                                 | ${'// a && b\npayload.late'}
  `('of $filter is $part', ({ filter, part }) => {
    const found = conditionAtFault(filter, subjectOf(PAYLOAD))
    expect(found.text).toBe(part)
    expect(filter.slice(found.offset, found.offset + part.length)).toBe(part)
  })
})
