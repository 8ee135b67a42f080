import { expect, test } from 'vitest'
import type { Allowance } from '../../src/deliveries/admission.ts'
import { type Replayed, replayRoom } from '../../src/replays/room.ts'

const now = new Date('2026-03-01T08:00:00.000Z')
const inAMoment = new Date('2026-03-01T08:00:00.300Z')
const allowance = (more: Partial<Allowance>): Allowance => ({
  state: 'ACTIVE',
  deleted: false,
  maxInFlight: 20,
  ticketed: 0,
  backlog: false,
  ratePerSecond: null,
  nextSlotAt: null,
  ...more,
})
const own = (ticketed: number, waiting = 0): Replayed => ({ ticketed, waiting })

test.each`
  endpoint                                       | replayed       | tickets | waiting
  ${{}}                                          | ${own(0)}      | ${10}   | ${0}
  ${{ ticketed: 4 }}                             | ${own(4)}      | ${6}    | ${0}
  ${{ ticketed: 10 }}                            | ${own(10)}     | ${0}    | ${0}
  ${{ ticketed: 15 }}                            | ${own(0)}      | ${5}    | ${0}
  ${{ ticketed: 20 }}                            | ${own(0)}      | ${0}    | ${0}
  ${{ maxInFlight: 1 }}                          | ${own(0)}      | ${1}    | ${0}
  ${{ maxInFlight: 1, ticketed: 1 }}             | ${own(0)}      | ${0}    | ${0}
  ${{ maxInFlight: 3 }}                          | ${own(0)}      | ${1}    | ${0}
  ${{ maxInFlight: 1000 }}                       | ${own(0)}      | ${200}  | ${0}
  ${{ backlog: true }}                           | ${own(0)}      | ${0}    | ${10}
  ${{ backlog: true }}                           | ${own(3, 4)}   | ${0}    | ${3}
  ${{ backlog: true }}                           | ${own(0, 300)} | ${0}    | ${0}
  ${{ state: 'PAUSED' }}                         | ${own(0, 300)} | ${0}    | ${200}
  ${{ state: 'DISABLED', backlog: true }}        | ${own(0, 300)} | ${0}    | ${200}
  ${{ deleted: true }}                           | ${own(0)}      | ${0}    | ${0}
  ${{ ratePerSecond: 40 }}                       | ${own(0)}      | ${10}   | ${0}
  ${{ ratePerSecond: 8 }}                        | ${own(0)}      | ${2}    | ${0}
  ${{ ratePerSecond: 0.5 }}                      | ${own(0)}      | ${1}    | ${0}
  ${{ ratePerSecond: 8, nextSlotAt: now }}       | ${own(1)}      | ${2}    | ${0}
  ${{ ratePerSecond: 8, nextSlotAt: inAMoment }} | ${own(0)}      | ${0}    | ${0}
`('$endpoint, of replays $replayed: $tickets go, $waiting wait', ({ endpoint, replayed, tickets, waiting }) => {
  const room = replayRoom(allowance(endpoint), replayed, 200, now)
  expect(room).toMatchObject({ tickets, waiting })
  expect(room.slots?.length).toBe(endpoint.ratePerSecond ? tickets : undefined)
})
