export const DAY_MS = 86_400_000

/** How long rows are kept, and how long payloads and response bodies are: days, the second no more than the first. */
export type Retention = { days: number; bodyDays: number }

/** The UTC day of a moment, by its first millisecond. Rows lie in the partition of the day that their ids tell. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS) * DAY_MS
}

/** From when on everything is kept that is kept for so many days: a day goes as a whole, when all of it is older. */
export function keptSince(now: Date, days: number): Date {
  return new Date(dayOf(now.getTime() - days * DAY_MS))
}
