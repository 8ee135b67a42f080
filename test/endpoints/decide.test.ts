import { expect, test } from 'vitest'
import { createDecisions, type Decided, type Wishes } from '../../src/endpoints/decide.ts'

const EVENT: Decided = {
  type: 'invoice.paid',
  version: '2',
  channels: ['eu', 'vip'],
  tenant: 'acme',
  isTest: false,
  operations: false,
  payload: () => ({ amount: 5 }),
}
const ANY: Wishes = { eventTypes: null, channels: null, versions: null, filter: null }

test.each`
  wishes                                                           | event                                              | refusal
  ${{}}                                                            | ${{}}                                              | ${null}
  ${{ eventTypes: ['user.*'] }}                                    | ${{}}                                              | ${'EVENT_TYPE'}
  ${{}}                                                            | ${{ type: 'endpoint.disabled' }}                   | ${'EVENT_TYPE'}
  ${{}}                                                            | ${{ type: 'endpoint.disabled', operations: true }} | ${null}
  ${{ channels: ['us', 'vip'] }}                                   | ${{}}                                              | ${null}
  ${{ channels: ['us'] }}                                          | ${{}}                                              | ${'CHANNEL'}
  ${{ channels: ['us'] }}                                          | ${{ channels: [] }}                                | ${'CHANNEL'}
  ${{ versions: { 'invoice.paid': '2' } }}                         | ${{}}                                              | ${null}
  ${{ versions: { 'invoice.paid': '1' } }}                         | ${{}}                                              | ${'VERSION'}
  ${{ versions: { 'invoice.paid': '1' } }}                         | ${{ version: null }}                               | ${'VERSION'}
  ${{ versions: { 'invoice.late': '1' } }}                         | ${{}}                                              | ${null}
  ${{ versions: { 'invoice.late': '1' } }}                         | ${{ type: 'constructor' }}                         | ${null}
  ${{ filter: 'payload.amount == 5' }}                             | ${{}}                                              | ${null}
  ${{ filter: 'payload.amount == 6' }}                             | ${{}}                                              | ${'FILTER'}
  ${{ filter: 'payload.total == 6' }}                              | ${{}}                                              | ${'FILTER_FAULT'}
  ${{ filter: 'payload.no longer understood' }}                    | ${{}}                                              | ${'FILTER_FAULT'}
  ${{ filter: 'payload.amount == 5' }}                             | ${{ payload: () => JSON.parse('{') }}              | ${'FILTER_FAULT'}
  ${{ eventTypes: ['user.*'], channels: ['us'], filter: 'false' }} | ${{}}                                              | ${'EVENT_TYPE'}
  ${{ channels: ['us'], versions: { 'invoice.paid': '1' } }}       | ${{}}                                              | ${'CHANNEL'}
  ${{}}                                                            | ${{ isTest: true }}                                | ${'TEST_EVENT'}
`('an endpoint with $wishes and an event with $event → $refusal', ({ wishes, event, refusal }) => {
  const decision = createDecisions({ ...EVENT, ...event }).decide({ ...ANY, ...wishes })
  expect(decision.refusal).toBe(refusal)
  expect(decision.fault === null).toBe(refusal !== 'FILTER_FAULT')
})
