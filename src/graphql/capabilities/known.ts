import { type Id, type Prefix, parsePublicId } from '../../../schema/ids.ts'
import { Mistake } from '../../mistake.ts'

/** The id behind a text; one that is not of this kind names nothing, like the id of another tenant's object. */
export function known<P extends Prefix>(prefix: P, text: string): Id<P> {
  const id = parsePublicId(prefix, text)
  if (id !== null) return id
  throw new Mistake(
    'NOT_FOUND',
    ['id'],
    `${JSON.stringify(text.slice(0, 60))} is no such id: those are "${prefix}_" and 26 letters and digits.`,
  )
}
