/** The known name that was most likely meant, or null when none comes near. Ten thousand names take some milliseconds. */
export function nearestName(given: string, names: Iterable<string>): string | null {
  const wanted = given.toLowerCase()
  let best: string | null = null
  let fewest = slipsIn(given) + 1
  for (const name of names) {
    if (Math.abs(name.length - given.length) >= fewest) continue
    const slips = distance(wanted, name.toLowerCase(), fewest)
    if (slips >= fewest) continue
    best = name
    fewest = slips
  }
  return best
}

/** Two slips in `invoice.payed` are a near miss; in `a.b` they make it anything. */
const slipsIn = (name: string) => Math.min(3, Math.floor(name.length / 4))

/** How many letters must be put in, left out or changed to make one of the other (Levenshtein), or `most` when as many or more. */
function distance(one: string, other: string, most: number): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let at = 0; at < one.length; at++) {
    const above = row
    row = [at + 1]
    let fewest = at + 1
    for (let index = 0; index < other.length; index++) {
      const changed = (above[index] as number) + (one[at] === other[index] ? 0 : 1)
      const slips = Math.min(changed, (above[index + 1] as number) + 1, (row[index] as number) + 1)
      row.push(slips)
      fewest = Math.min(fewest, slips)
    }
    if (fewest >= most) return most
  }
  return row.at(-1) as number
}
