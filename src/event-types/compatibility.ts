import { ALL_TYPES, type Count, LOWER_BOUNDS, type Place, type View, viewOf, written } from './schema-view.ts'
import { pointerOf, resolveRef, type Schema } from './schema-walk.ts'

/**
 * Whom a change breaks: those who read (something may come that was said not to come, or what was said to come may not), those
 * who write (what was allowed is refused), or both.
 */
export const BROKEN = ['RECEIVERS', 'PRODUCERS', 'BOTH'] as const
export type Broken = (typeof BROKEN)[number]

/** `pointer`: into the schema, with references followed (RFC 6901). `rule`: the keyword that changed. */
export type BreakingChange = { pointer: string; rule: string; breaks: Broken; message: string }

export const MOST_CHANGES = 20
// Comparing two schemas of 200 fields takes some 2,000.
const MOST_STEPS = 50_000

class TooComplex extends Error {}

/**
 * What of the new schema breaks those who rely on the old one, at most 20 changes. New optional members break nobody: receivers
 * ignore what they do not know, also where the old schema said that nothing else would come.
 */
export function breakingChanges(before: Schema, after: Schema): BreakingChange[] {
  let steps = 0
  const count = () => {
    if (++steps > MOST_STEPS) throw new TooComplex()
  }
  const comparison: Comparison = { found: [], compared: new Map(), count }
  try {
    compare(comparison, { root: before, schema: before }, { root: after, schema: after }, [])
  } catch (error) {
    if (!(error instanceof TooComplex) && !(error instanceof RangeError)) throw error
    const message = 'The schemas are too complex to be compared with each other.'
    comparison.found.push({ pointer: '', rule: '$ref', breaks: 'BOTH', message })
  }
  const distinct = new Map(
    comparison.found.map((change) => [`${change.pointer} ${change.rule} ${change.message}`, change]),
  )
  return [...distinct.values()].slice(0, MOST_CHANGES)
}

type Comparison = { found: BreakingChange[]; compared: Map<Schema, Set<Schema>>; count: Count }
type Path = readonly string[]

function compare(comparison: Comparison, one: Place, other: Place, path: Path): void {
  const { compared, count } = comparison
  const [before, after] = [followed(one), followed(other)]
  const known = compared.get(before.schema) ?? new Set()
  if (known.has(after.schema)) return
  if (typeof before.schema === 'object') compared.set(before.schema, known.add(after.schema))
  count()
  const [old, now] = [viewOf(before, count), viewOf(after, count)]
  const add = (rule: string, breaks: Broken, message: string, ...at: string[]) =>
    comparison.found.push({ pointer: pointerOf([...path, ...at]), rule, breaks, message })
  const within = (one: Schema, other: Schema, ...at: string[]) =>
    compare(comparison, { ...before, schema: one }, { ...after, schema: other }, [...path, ...at])

  if (old.branches !== null || now.branches !== null) {
    compareBranches(comparison, before, after, old, now, path)
    return
  }
  compareTypes(old, now, add)
  // Of two things that have nothing in common, nothing else is worth telling.
  if (old.types.intersection(now.types).size === 0) return
  compareValues(old, now, add)
  compareBounds(old, now, add)
  compareOthers(old, now, add)
  compareMembers(old, now, add, within)
  compareItems(old, now, add, within)
}

/** What is nothing but a reference is what it leads to: a definition that many share is compared once. */
function followed({ root, schema }: Place): Place {
  let at = schema
  while (typeof at === 'object' && typeof at.$ref === 'string' && Object.keys(at).length === 1) {
    const target = resolveRef(root, at.$ref)
    if (target === null) break
    at = target
  }
  return { root, schema: at }
}

type Add = (rule: string, breaks: Broken, message: string, ...at: string[]) => void
type Within = (one: Schema, other: Schema, ...at: string[]) => void

function compareTypes(old: View, now: View, add: Add): void {
  const said = ({ types }: View) =>
    ALL_TYPES.filter((type) => types.has(type) && !(type === 'integer' && types.has('number')))
  const change = `from ${said(old).join(' or ')} to ${said(now).join(' or ') || 'nothing'}`
  const more = now.types.difference(old.types).size > 0
  const fewer = old.types.difference(now.types).size > 0
  if (more && fewer) add('type', 'BOTH', `The type changed ${change}.`)
  else if (more) add('type', 'RECEIVERS', `The type was widened ${change}.`)
  else if (fewer) add('type', 'PRODUCERS', `The type was narrowed ${change}.`)
}

function compareValues(old: View, now: View, add: Add): void {
  if (old.values === null || now.values === null) {
    if (old.values !== null) add('enum', 'RECEIVERS', 'Any value may come; before, only those of a list.')
    if (now.values !== null) add('enum', 'PRODUCERS', 'Only values of a list are allowed; before, any was.')
    return
  }
  const list = (values: Set<string>) => [...values].slice(0, 10).join(', ').slice(0, 200)
  const more = now.values.difference(old.values)
  const fewer = old.values.difference(now.values)
  if (more.size > 0) add('enum', 'RECEIVERS', `Values were added: ${list(more)}.`)
  if (fewer.size > 0) add('enum', 'PRODUCERS', `Values were removed: ${list(fewer)}.`)
}

function compareBounds(old: View, now: View, add: Add): void {
  for (const keyword of new Set([...old.bounds.keys(), ...now.bounds.keys()])) {
    const open = LOWER_BOUNDS.includes(keyword) ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
    const [was, is] = [old.bounds.get(keyword) ?? open, now.bounds.get(keyword) ?? open]
    if (was === is) continue
    const tighter = LOWER_BOUNDS.includes(keyword) ? is > was : is < was
    const said = (bound: number) => (Number.isFinite(bound) ? String(bound) : 'none')
    const message = `${keyword} was ${tighter ? 'tightened' : 'loosened'} from ${said(was)} to ${said(is)}.`
    add(keyword, tighter ? 'PRODUCERS' : 'RECEIVERS', message)
  }
}

function compareOthers(old: View, now: View, add: Add): void {
  for (const keyword of new Set([...old.others.keys(), ...now.others.keys()])) {
    const [was, is] = [old.others.get(keyword), now.others.get(keyword)]
    if (was === is) continue
    if (was === undefined) add(keyword, 'PRODUCERS', `${keyword} was added.`)
    else if (is === undefined) add(keyword, 'RECEIVERS', `${keyword} was removed.`)
    else add(keyword, 'BOTH', `${keyword} changed; what that comes to is not known.`)
  }
}

function compareMembers(old: View, now: View, add: Add, within: Within): void {
  for (const [name, schema] of old.properties) {
    const after = now.properties.get(name)
    if (after === undefined)
      add('properties', 'RECEIVERS', `The field ${JSON.stringify(name)} was removed.`, 'properties', name)
    else within(schema, after, 'properties', name)
  }
  for (const name of now.required.difference(old.required)) {
    add('required', 'PRODUCERS', `The field ${JSON.stringify(name)} was made required.`, 'properties', name)
  }
  for (const name of old.required.difference(now.required)) {
    // Removed altogether: told above.
    if (old.properties.has(name) && !now.properties.has(name)) continue
    add('required', 'RECEIVERS', `The field ${JSON.stringify(name)} is no longer required.`, 'properties', name)
  }
  if (old.additional !== null && now.additional !== null && typeof old.additional === 'object') {
    within(old.additional, now.additional, 'additionalProperties')
  } else if (now.additional !== null && now.additional !== true && old.additional !== false) {
    add('additionalProperties', 'PRODUCERS', 'Other fields are not allowed any more, or not all of them.')
  } else if (typeof old.additional === 'object' && old.additional !== null) {
    add('additionalProperties', 'RECEIVERS', 'Other fields may hold anything.')
  }
}

function compareItems(old: View, now: View, add: Add, within: Within): void {
  const length = Math.max(old.prefixItems.length, now.prefixItems.length)
  for (let index = 0; index < length; index++) {
    const [was, is] = [old.prefixItems[index] ?? old.items, now.prefixItems[index] ?? now.items]
    compareItem(was ?? true, is ?? true, 'prefixItems', String(index))
  }
  if (old.items !== null || now.items !== null) compareItem(old.items ?? true, now.items ?? true, 'items')

  function compareItem(was: Schema, is: Schema, ...at: string[]): void {
    // Whether a list may go on: of no item at all there is nothing to compare.
    if (was === false && is !== false) add('items', 'RECEIVERS', 'More items may come.', ...at)
    else if (was !== false && is === false) add('items', 'PRODUCERS', 'No more items are allowed.', ...at)
    else within(was, is, ...at)
  }
}

/** Each new branch must be known to receivers, and each old one still be there for producers. A plain schema is a single branch. */
function compareBranches(comparison: Comparison, before: Place, after: Place, old: View, now: View, path: Path): void {
  const rest = (view: View) => ({ ...view, branches: null })
  const { count, found } = comparison
  if (old.branches !== null && now.branches !== null) {
    const add: Add = (rule, breaks, message) => found.push({ pointer: pointerOf(path), rule, breaks, message })
    const within: Within = (one, other, ...at) =>
      compare(comparison, { ...before, schema: one }, { ...after, schema: other }, [...path, ...at])
    const [oldRest, nowRest] = [rest(old), rest(now)]
    for (const part of [compareTypes, compareValues, compareBounds, compareOthers]) part(oldRest, nowRest, add)
    compareMembers(oldRest, nowRest, add, within)
    compareItems(oldRest, nowRest, add, within)
  }
  const named = ({ root, schema }: Place, view: View) =>
    (view.branches ?? [schema]).map((branch) => ({ branch, text: written(root, branch, count) }))
  const [olds, nows] = [named(before, old), named(after, now)]
  const gone = olds.filter(({ text }) => !nows.some((one) => one.text === text))
  const come = nows.filter(({ text }) => !olds.some((one) => one.text === text))
  const pairs = Math.min(gone.length, come.length)
  for (let index = 0; index < pairs; index++) {
    const [was, is] = [gone[index], come[index]] as [(typeof gone)[0], (typeof come)[0]]
    compare(comparison, { ...before, schema: was.branch }, { ...after, schema: is.branch }, [
      ...path,
      'anyOf',
      String(index),
    ])
  }
  const pointer = pointerOf(path)
  if (come.length > pairs)
    found.push({ pointer, rule: 'anyOf', breaks: 'RECEIVERS', message: 'An alternative was added.' })
  if (gone.length > pairs)
    found.push({ pointer, rule: 'anyOf', breaks: 'PRODUCERS', message: 'An alternative was removed.' })
}
