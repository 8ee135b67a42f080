import type { Log } from '../log.ts'

export type Warn = Log['warn']

const PER_MINUTE = 60

/** Warnings that strangers can cause, so many a minute at most; the next one after that tells how many were left out. */
export function sparing(log: Pick<Log, 'warn'>, now: () => number = () => performance.now()): Warn {
  let minuteEndsAt = 0
  let written = 0
  let leftOut = 0
  return (facts, sentence) => {
    if (now() >= minuteEndsAt) {
      minuteEndsAt = now() + 60_000
      written = 0
    }
    if (written >= PER_MINUTE) {
      leftOut++
      return
    }
    written++
    log.warn(leftOut > 0 ? { ...facts, leftOutBefore: leftOut } : facts, sentence)
    leftOut = 0
  }
}
