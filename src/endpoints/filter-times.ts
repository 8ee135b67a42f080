import { type CelFunc, CelScalar, celMethod, objectType } from '@bufbuild/cel'
import { TimestampSchema, timestampDate } from '@bufbuild/protobuf/wkt'

const DAY_MS = 86_400_000

const PARTS: Record<string, (date: Date) => number> = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDate: (date) => date.getUTCDate(),
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDayOfWeek: (date) => date.getUTCDay(),
  getDayOfYear: (date) => Math.floor((date.getTime() - new Date(date).setUTCMonth(0, 1)) / DAY_MS),
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
  getMilliseconds: (date) => date.getUTCMilliseconds(),
}

/**
 * The parts of a time. The library reads them from a date of the process's own time zone, where the hour from which the clock
 * goes forward does not exist: there an event would be decided otherwise than elsewhere.
 */
export const TIME_PARTS: CelFunc[] = Object.entries(PARTS).map(([name, part]) =>
  celMethod(name, objectType(TimestampSchema), [], CelScalar.INT, function () {
    return BigInt(part(timestampDate(this.message)))
  }),
)
