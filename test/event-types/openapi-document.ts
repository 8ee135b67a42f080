/**
 * An OpenAPI 3.1 document in the style of a large payment provider: made here, with the shapes that such documents have. Objects
 * refer to each other round about, fields are expandable, lists are envelopes, half of the webhooks bring an example.
 */

const RESOURCES = [
  'account',
  'balance',
  'bank_account',
  'capability',
  'card',
  'cash_balance',
  'charge',
  'coupon',
  'credit_note',
  'customer',
  'discount',
  'dispute',
  'file',
  'invoice',
  'invoice_item',
  'mandate',
  'order',
  'payment_intent',
  'payment_link',
  'payment_method',
  'payout',
  'person',
  'plan',
  'price',
  'product',
  'promotion_code',
  'quote',
  'radar_warning',
  'refund',
  'report_run',
  'review',
  'setup_intent',
  'shipping_rate',
  'source',
  'subscription',
  'tax_id',
  'tax_rate',
  'topup',
  'transfer',
  'webhook_endpoint',
]
const ACTIONS = ['created', 'updated', 'deleted', 'succeeded', 'failed']
const CURRENCIES = ['aud', 'cad', 'chf', 'eur', 'gbp', 'jpy', 'usd']

const pascal = (name: string) => name.replaceAll(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase())
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })

/** 40 objects with 5 events each: 200 webhooks; or fewer. */
export function providerDocument({ amountType = 'integer', most = 200 } = {}) {
  const webhooks = Object.fromEntries(
    RESOURCES.flatMap((resource, place) =>
      ACTIONS.map((action) => [`${resource}.${action}`, webhook(resource, action, place)]),
    ),
  )
  const schemas = Object.fromEntries(
    RESOURCES.map((resource, place) => [pascal(resource), objectSchema(resource, place, amountType)]),
  )
  return {
    openapi: '3.1.0',
    info: { title: 'Payments', version: '2026-11-01' },
    webhooks: Object.fromEntries(Object.entries(webhooks).slice(0, most)),
    components: {
      schemas: { ...schemas, ...SHARED },
      requestBodies: { Ping: { content: { 'application/json; charset=utf-8': { schema: { type: 'object' } } } } },
    },
  }
}

function webhook(resource: string, action: string, place: number) {
  const schema = {
    type: 'object',
    required: ['id', 'object', 'created', 'data'],
    properties: {
      id: { type: 'string', pattern: '^evt_[A-Za-z0-9]{8,}$', examples: ['evt_1NG8Du2eZvKYlo2C'] },
      object: { const: 'event' },
      created: { type: 'integer', format: 'int64', minimum: 0 },
      livemode: { type: 'boolean' },
      data: { type: 'object', required: ['object'], properties: { object: ref(pascal(resource)) } },
    },
  }
  const example = {
    id: 'evt_1NG8Du2eZvKYlo2CUI79vXWy',
    object: 'event',
    created: 1_795_000_000,
    data: { object: exampleOf(resource) },
  }
  const examples = place % 2 === 0 ? { examples: { typical: { summary: 'As it comes', value: example } } } : {}
  return {
    post: {
      tags: [pascal(resource)],
      summary: `Occurs whenever a ${resource.replaceAll('_', ' ')} is ${action}.`,
      ...(resource === 'source' ? { deprecated: true } : {}),
      requestBody: { content: { 'application/json': { schema, ...examples } } },
      responses: { 200: { description: 'Taken.' } },
    },
  }
}

function objectSchema(resource: string, place: number, amountType: string) {
  // Round about in pairs: all of them within each would be beyond the limits of a schema.
  const other = RESOURCES[place - (place % 2) + ((place + 1) % 2)] as string
  const own = Array.from({ length: 20 }, (_, index) => [`field_${index}`, FIELDS[index % FIELDS.length] as object])
  return {
    type: 'object',
    title: pascal(resource),
    description: 'An object that stands for something which the provider keeps for the merchant. '.repeat(3),
    required: ['id', 'object', 'amount'],
    properties: {
      id: { type: 'string', maxLength: 5000 },
      object: { type: 'string', enum: [resource] },
      amount: { type: amountType },
      currency: ref('Currency'),
      // Either the id or the object itself, which leads back here before long.
      [other]: { anyOf: [{ type: 'string', maxLength: 5000 }, ref(pascal(other)), { type: 'null' }] },
      address: ref('Address'),
      lines: {
        type: 'object',
        required: ['data', 'has_more'],
        properties: { data: { type: 'array', items: ref('Line') }, has_more: { type: 'boolean' } },
      },
      metadata: { type: 'object', additionalProperties: { type: 'string', maxLength: 500 } },
      ...Object.fromEntries(own),
    },
  }
}

const FIELDS = [
  { type: ['string', 'null'], maxLength: 5000 },
  { type: 'boolean' },
  { type: 'integer', format: 'unix-time' },
  { type: ['integer', 'null'] },
  { type: 'string', enum: ['automatic', 'manual', 'never'] },
  { type: 'array', items: { type: 'string' } },
  { type: 'string', format: 'email' },
]

const SHARED = {
  Currency: { type: 'string', enum: CURRENCIES },
  Address: {
    type: 'object',
    properties: {
      city: { type: ['string', 'null'] },
      country: { type: 'string', pattern: '^[A-Z]{2}$', examples: ['DE'] },
    },
  },
  Line: {
    allOf: [
      { type: 'object', properties: { id: { type: 'string' }, amount: { type: 'integer' } }, required: ['id'] },
      { properties: { tax_rates: { type: 'array', items: ref('TaxRate') } } },
    ],
  },
}

const exampleOf = (resource: string) => ({
  id: `${resource.slice(0, 2)}_1NG8Du2eZvKYlo2C`,
  object: resource,
  amount: 4200,
  currency: 'eur',
  metadata: { order: '6735' },
})
