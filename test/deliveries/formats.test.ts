import { expect, test } from 'vitest'
import { PAYLOAD_FORMATS } from '../../schema/states.ts'
import { formatEvent } from '../../src/deliveries/formats.ts'
import { childrenOf, parseXml } from '../support/xml.ts'

const event = {
  id: 'evt_01k5y7q0c2f4t8r1v9b3n6m5d7',
  type: 'invoice.paid',
  version: null as string | null,
  createdAt: new Date('2026-03-01T08:00:00.005Z'),
  tenant: 'acme',
  isTest: false,
}

const HEAD =
  '{"id":"evt_01k5y7q0c2f4t8r1v9b3n6m5d7","type":"invoice.paid","version":null,"created_at":"2026-03-01T08:00:00.005Z"'

test.each([
  ['an integer beyond 2^53', '{"n":9007199254740993}'],
  ['a number with a trailing zero', '{"price":1.10,"e":1E+2,"z":-0}'],
  ['escaped characters', '{"nul":"\\u0000","slash":"\\/","letter":"\\u0041"}'],
  ['emoji, raw and escaped', '{"a":"🏔","b":"\\ud83c\\udfd4"}'],
  ['duplicate keys', '{"a":1,"a":2}'],
  ['integer-like keys in odd order', '{"2":"b","1":"a","a":0,"01":1}'],
  ['white space', ' { "a" :\n\t1 } '],
  ['__proto__', '{"__proto__":{"a":1}}'],
  ['a bare string', '"text"'],
  ['null', 'null'],
])('the envelope carries %s byte for byte', (_, payload) => {
  const { headers, body } = formatEvent('ENVELOPE', { ...event, payload })

  expect(headers).toEqual([['content-type', 'application/json']])
  expect(body).toEqual(Buffer.from(`${HEAD},"data":${payload}}`, 'utf8'))
  expect(Object.keys(JSON.parse(body.toString()))).toEqual(['id', 'type', 'version', 'created_at', 'data'])
})

test('the version stands in quotes when there is one, and is escaped', () => {
  const { body } = formatEvent('ENVELOPE', { ...event, version: '2026-01"\\', payload: '{}' })
  expect(JSON.parse(body.toString())).toMatchObject({ version: '2026-01"\\', data: {} })
})

const CE =
  '{"specversion":"1.0","id":"evt_01k5y7q0c2f4t8r1v9b3n6m5d7","source":"/tenants/acme","type":"invoice.paid","time":"2026-03-01T08:00:00.005Z"'

test.each([
  ['ENVELOPE', 'application/json', `${HEAD},"data":{ "n": 1.10 }}`],
  ['RAW', 'application/json', '{ "n": 1.10 }'],
  ['THIN', 'application/json', `${HEAD}}`],
  [
    'CLOUDEVENTS_STRUCTURED',
    'application/cloudevents+json',
    `${CE},"datacontenttype":"application/json","data":{ "n": 1.10 }}`,
  ],
  ['CLOUDEVENTS_BINARY', 'application/json', '{ "n": 1.10 }'],
  [
    'FORM',
    'application/x-www-form-urlencoded',
    'payload=%7B%22id%22%3A%22evt_01k5y7q0c2f4t8r1v9b3n6m5d7%22%2C%22type%22%3A%22invoice.paid%22%2C%22version%22%3Anull%2C%22created_at%22%3A%222026-03-01T08%3A00%3A00.005Z%22%2C%22data%22%3A%7B+%22n%22%3A+1.10+%7D%7D',
  ],
  [
    'XML',
    'application/xml',
    '<?xml version="1.0" encoding="UTF-8"?>\n<event><id>evt_01k5y7q0c2f4t8r1v9b3n6m5d7</id><type>invoice.paid</type><created_at>2026-03-01T08:00:00.005Z</created_at><data><map xmlns="http://www.w3.org/2005/xpath-functions"><number key="n">1.10</number></map></data></event>',
  ],
] as const)('%s has its content type and these bytes', (format, contentType, body) => {
  const formatted = formatEvent(format, { ...event, payload: '{ "n": 1.10 }' })

  expect(formatted.headers[0]).toEqual(['content-type', contentType])
  expect(formatted.body.toString()).toBe(body)
})

test('every format has a table row above', () => expect(PAYLOAD_FORMATS).toHaveLength(7))

test('in binary mode the attributes of a CloudEvent are headers, percent-encoded where HTTP or the binding wants it', () => {
  const version = 'ä "1%" 🏔~!'
  const { headers } = formatEvent('CLOUDEVENTS_BINARY', { ...event, version, payload: '1' })
  expect(headers).toEqual([
    ['content-type', 'application/json'],
    ['ce-specversion', '1.0'],
    ['ce-id', event.id],
    ['ce-source', '/tenants/acme'],
    ['ce-type', 'invoice.paid'],
    ['ce-time', '2026-03-01T08:00:00.005Z'],
    ['ce-eventversion', '%C3%A4%20%221%25%22%20%F0%9F%8F%94~!'],
  ])
  const structured = formatEvent('CLOUDEVENTS_STRUCTURED', { ...event, version, payload: '1' })
  expect(JSON.parse(structured.body.toString())).toMatchObject({ eventversion: version, data: 1 })
})

const dataOf = (payload: string) =>
  /<data>(.*)<\/data>/s
    .exec(formatEvent('XML', { ...event, payload }).body.toString())?.[1]
    ?.replace(' xmlns="http://www.w3.org/2005/xpath-functions"', '')

test.each([
  ['{}', '<map></map>'],
  ['[[],{"a":[]}]', '<array><array></array><map><array key="a"></array></map></array>'],
  [
    '[9007199254740993, 1E+2, -0.10]',
    '<array><number>9007199254740993</number><number>1E+2</number><number>-0.10</number></array>',
  ],
  ['[true,false,null]', '<array><boolean>true</boolean><boolean>false</boolean><null></null></array>'],
  ['{"2":1,"1":2,"2":3}', '<map><number key="2">1</number><number key="1">2</number><number key="2">3</number></map>'],
  ['"a<b>&\\"c\\""', '<string>a&lt;b&gt;&amp;&quot;c&quot;</string>'],
  ['{"a\\nb":" \\t\\r\\n "}', '<map><string key="a&#10;b"> &#9;&#13;&#10; </string></map>'],
  ['"\\ud83c\\udfd4 \\u007f \\\\ {"', '<string>🏔 &#127; \\ {</string>'],
  ['"\\u0000\\\\\\n/\\u001f\\uffff\\u0080é"', '<string escaped="true">\\u0000\\\\\\n/\\u001F\\uFFFF\\u0080é</string>'],
  ['"\\u0085 \u2028"', '<string>&#133; &#8232;</string>'],
  ['{"\\u0000":{"":""}}', '<map><map escaped-key="true" key="\\u0000"><string key=""></string></map></map>'],
])('%s as XML is %s', (payload, xml) => expect(dataOf(payload)).toBe(xml))

test('whatever is in a version, the XML is well-formed', () => {
  const { body } = formatEvent('XML', { ...event, version: '1 <&>\u0001\uffff', payload: '1' })
  const [, , shown] = childrenOf(parseXml(body.toString()))
  expect(shown?.textContent).toBe('1 <&>\ufffd\ufffd')
})

test.each`
  format                      | says
  ${'ENVELOPE'}               | ${'"created_at":"2026-03-01T08:00:00.005Z","test":true,"data":{}}'}
  ${'THIN'}                   | ${'"created_at":"2026-03-01T08:00:00.005Z","test":true}'}
  ${'FORM'}                   | ${'%22test%22%3Atrue%2C%22data%22'}
  ${'XML'}                    | ${'</created_at><test>true</test><data>'}
  ${'CLOUDEVENTS_STRUCTURED'} | ${'"test":"true"'}
`('$format says of a test that it is one', ({ format, says }) => {
  expect(formatEvent(format, { ...event, isTest: true, payload: '{}' }).body.toString()).toContain(says)
  expect(formatEvent(format, { ...event, payload: '{}' }).body.toString()).not.toContain('test')
})

test('binary CloudEvents say so in a header, and RAW is the payload alone', () => {
  const made = (format: 'CLOUDEVENTS_BINARY' | 'RAW') => formatEvent(format, { ...event, isTest: true, payload: '{}' })
  expect(made('CLOUDEVENTS_BINARY').headers).toContainEqual(['ce-test', 'true'])
  expect(made('RAW')).toEqual(formatEvent('RAW', { ...event, payload: '{}' }))
})
