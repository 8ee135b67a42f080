/** How many there are of each name; those with none are forgotten. */
export type Counts = {
  of(name: string): number
  add(name: string): void
  remove(name: string): void
}

/** None of anything, to begin with. */
export function createCounts(): Counts {
  const counts = new Map<string, number>()
  return {
    of: (name) => counts.get(name) ?? 0,
    add: (name) => counts.set(name, (counts.get(name) ?? 0) + 1),
    remove(name) {
      const left = (counts.get(name) ?? 0) - 1
      if (left > 0) counts.set(name, left)
      else counts.delete(name)
    },
  }
}
