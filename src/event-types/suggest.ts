/** The known name that was most likely meant, or null when none comes near. Ten thousand names take some milliseconds. */
export function nearestName(given: string, names: Iterable<string>): string | null {
  const wanted = given.toLowerCase()
  const rows: [Row, Row] = [new Uint8Array(wanted.length + 8), new Uint8Array(wanted.length + 8)]
  let best: string | null = null
  let fewest = slipsIn(given) + 1
  for (const name of names) {
    if (Math.abs(name.length - given.length) >= fewest) continue
    const slips = distance(wanted, name.toLowerCase(), fewest, rows)
    if (slips >= fewest) continue
    best = name
    fewest = slips
  }
  return best
}

type Row = Uint8Array

/** Two slips in `invoice.payed` are a near miss; in `a.b` they make it anything. */
const slipsIn = (name: string) => Math.min(3, Math.floor(name.length / 4))

/**
 * How many letters must be put in, left out or changed to make one of the other (Levenshtein), or `most` when as many or more:
 * what is further from the diagonal than that is not looked at.
 */
function distance(one: string, other: string, most: number, rows: readonly [Row, Row]): number {
  let [above, row] = rows
  for (let index = 0; index <= Math.min(other.length, most + 1); index++) above[index] = Math.min(index, most)
  for (let at = 1; at <= one.length; at++) {
    const first = Math.max(1, at - most)
    const last = Math.min(other.length, at + most)
    let fewest = first === 1 ? Math.min(at, most) : most
    row[first - 1] = fewest
    for (let index = first; index <= last; index++) {
      const changed = (above[index - 1] as number) + (one.charCodeAt(at - 1) === other.charCodeAt(index - 1) ? 0 : 1)
      const slips = Math.min(changed, (above[index] as number) + 1, (row[index - 1] as number) + 1, most)
      row[index] = slips
      if (slips < fewest) fewest = slips
    }
    row[last + 1] = most
    if (fewest >= most) return most
    const next = above
    above = row
    row = next
  }
  return above[other.length] as number
}
