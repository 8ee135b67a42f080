import { createTrouble, type Log } from '../log.ts'
import { causesOf, codeOf, isUnavailable } from './unavailable.ts'

// Somebody has to do something, and each of them something else: let us in, make room, restore the database or the primary.
const TO_BE_MENDED = /^(25006|28|3D000|53|58030)/

/**
 * The same log, in which a database that is away is one trouble of the whole process. Six loops and every request run into
 * it: each telling of it by itself, and of every step from the closed connection to the start, made 13 lines of 20 s.
 */
export function withOutages(log: Log): Log {
  const trouble = createTrouble(log, {
    failing: 'The database is unavailable; trying again',
    working: 'The database is available again',
    kindOf: (err) =>
      causesOf(err)
        .map(codeOf)
        .find((code) => TO_BE_MENDED.test(code)) ?? 'away',
  })
  return {
    debug: (facts, sentence) => log.debug(facts, sentence),
    info: (facts, sentence) => log.info(facts, sentence),
    warn: (facts, sentence) => log.warn(facts, sentence),
    error: (facts, sentence) => log.error(facts, sentence),
    outage: { ...trouble, is: isUnavailable },
  }
}
